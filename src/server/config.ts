import { Command, Option } from "commander";
import type { HubSettings } from "../engine/dictionaries/hub/hub-settings.ts";
import { HUB_TOKENS, resolveHubSettings } from "./hub-settings.ts";
import { readConfigFile } from "./config-file.ts";
import { redactor } from "./redact.ts";
import {
  asText,
  CONFIG_VARIABLE,
  describeSetting,
  flagOf,
  type Given,
  type GivenSettings,
  resolveSettings,
  SECRET_SETTINGS,
  SETTING_NAMES,
  type SettingName,
  type Settings,
  unknownVariables,
  variableOf,
} from "./settings.ts";

/** Variables that may hold a key, misspelt ones included. */
const SECRET = new RegExp(
  `^PURSUIT_(?!TLS_KEY$).*(?:KEY|TOKEN|SECRET|PASSWORD|STATE_URL)|^OTEL_EXPORTER_OTLP_(?:TRACES_)?HEADERS$|^(?:${HUB_TOKENS.join("|")})$`,
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

/** Adds an option for every setting, read from its flag or else its variable, and one for the config file. */
export function addSettings(command: Command): Command {
  command.addOption(
    new Option("--config <file>", "YAML or JSON file of settings, named as these flags").env(CONFIG_VARIABLE),
  );
  for (const name of SETTING_NAMES) {
    const { description, default: fallback, words } = describeSetting(name);
    const option = new Option(`${flagOf(name)} <value>`, description).env(variableOf(name));
    // Of keys and hosts there are none unless they are given.
    command.addOption(Array.isArray(fallback) ? option : option.default(fallback, words ?? String(fallback)));
  }
  return command;
}

/**
 * Reads settings: a flag comes before the variable, the variable before the config file, the file before the default. A
 * key given as a flag is removed from the process list.
 * @param command has the options of {@link addSettings}, and has been parsed
 * @throws Fault with all faults at once
 */
export async function settingsOf(command: Command): Promise<Settings> {
  const config = command.getOptionValue("config") as string | undefined;
  const { given: ofFile, faults } = config === undefined ? { given: {}, faults: [] } : await readConfigFile(config);
  const given: { [K in SettingName]?: Given } = { ...ofFile };
  for (const name of SETTING_NAMES) {
    const source = command.getOptionValueSource(name);
    const secret = secrets[variableOf(name)];
    if (source === "cli" || source === "env") {
      const where = source === "cli" ? flagOf(name) : variableOf(name);
      given[name] = { value: command.getOptionValue(name), where };
    } else if (secret !== undefined) given[name] = { value: secret, where: variableOf(name) };
  }
  keepSecrets(given);
  return resolveSettings(given, faults);
}

/** Secrets of flags and config files. */
const others: string[] = [];

/** Keeps secrets for {@link redact}. */
function keepSecrets(given: GivenSettings): void {
  for (const name of SECRET_SETTINGS) {
    const { value, where } = given[name] ?? {};
    if (value === undefined) continue;
    others.push(asText(value));
    if (where === flagOf(name)) process.title = "pursuit";
  }
}

/** Settings of a command with few flags of its own: from the environment and the config file, after `flags`. @throws Fault */
export function readSettings(flags: { readonly [K in SettingName]?: string } = {}): Promise<Settings> {
  hideSecrets();
  const command = addSettings(new Command());
  command.parse(
    SETTING_NAMES.flatMap((name) => (flags[name] === undefined ? [] : [`${flagOf(name)}=${flags[name]}`])),
    { from: "user" },
  );
  return settingsOf(command);
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

/** Place of this process in an array of jobs; null outside of one. `count` is missing where the array does not tell it. */
export function jobArray(): { readonly index: number; readonly count?: number } | null {
  const { JOB_COMPLETION_INDEX: kubernetes, SLURM_ARRAY_TASK_ID: id } = process.env;
  if (kubernetes !== undefined) return { index: Number(kubernetes) };
  if (id === undefined) return null;
  const {
    SLURM_ARRAY_TASK_MIN: first = "0",
    SLURM_ARRAY_TASK_STEP: step = "1",
    SLURM_ARRAY_TASK_COUNT: count,
  } = process.env;
  return { index: (Number(id) - Number(first)) / Number(step), ...(count !== undefined && { count: Number(count) }) };
}

/** Set variables that start with PURSUIT_ and are not settings. */
export function misspeltVariables(): readonly string[] {
  return unknownVariables({ ...process.env, ...secrets });
}

/** Removes secrets of the environment from a text. */
export function redact(text: string): string {
  return redactor(
    [...Object.values(secrets), ...others].flatMap((value = "") => value.split(",").map((key) => key.trim())),
  )(text);
}
