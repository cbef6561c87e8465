import type { HubSettings } from "../engine/dictionaries/hub/hub-settings.ts";
import { HUB_TOKENS, resolveHubSettings } from "./hub-settings.ts";
import { redactor } from "./redact.ts";
import {
  resolveSettings,
  SECRET_SETTINGS,
  type SettingName,
  type Settings,
  unknownVariables,
  variableOf,
} from "./settings.ts";

/** Variables that may hold a key, misspelt ones included. */
const SECRET = new RegExp(
  `^PURSUIT_.*(?:KEY|TOKEN|SECRET|PASSWORD)|^OTEL_EXPORTER_OTLP_(?:TRACES_)?HEADERS$|^(?:${HUB_TOKENS.join("|")})$`,
);

/** Secrets by variable, after their removal from the environment. */
const secrets: Record<string, string | undefined> = {};

/**
 * Removes keys from this process's environment, so that child processes do not get them. Call it first. The system
 * still shows the initial environment to the same user and root.
 */
export function hideSecrets(): void {
  for (const name of Object.keys(process.env)) {
    if (!SECRET.test(name)) continue;
    secrets[name] = process.env[name];
    delete process.env[name];
  }
}

/**
 * Reads the environment; nothing else does. Flags win. A key given as a flag is removed from the process list.
 * @throws Fault with all faults at once
 */
export function readSettings(flags: { readonly [K in SettingName]?: string } = {}): Settings {
  hideSecrets();
  for (const name of SECRET_SETTINGS) {
    if (flags[name] === undefined) continue;
    secrets[variableOf(name)] = flags[name];
    process.title = "pursuit";
  }
  return resolveSettings({ ...process.env, ...secrets }, flags);
}

/** The hub's settings, from Hugging Face's own variables. @throws Fault with all faults at once. */
export function readHubSettings(cacheDir?: string): HubSettings {
  hideSecrets();
  return resolveHubSettings({ ...process.env, ...secrets }, cacheDir);
}

/** Headers for the collector of traces, as `name=value,…`; null where no traces are to be exported. */
export function tracingHeaders(): string | null {
  const {
    OTEL_EXPORTER_OTLP_ENDPOINT: all,
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: own,
    OTEL_SDK_DISABLED: off,
  } = process.env;
  if ((!all && !own) || off?.toLowerCase() === "true") return null;
  return secrets["OTEL_EXPORTER_OTLP_TRACES_HEADERS"] ?? secrets["OTEL_EXPORTER_OTLP_HEADERS"] ?? "";
}

/** Set variables that start with PURSUIT_ and are not settings. */
export function misspeltVariables(): readonly string[] {
  return unknownVariables({ ...process.env, ...secrets });
}

/** Removes secrets of the environment from a text. */
export function redact(text: string): string {
  return redactor(Object.values(secrets).flatMap((value = "") => value.split(",").map((key) => key.trim())))(text);
}
