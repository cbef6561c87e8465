import { resolveSettings, type SettingName, type Settings, unknownVariables } from "./settings.ts";

/**
 * The one place that reads the environment.
 * @throws SettingsFault with all faults at once.
 */
export function readSettings(flags: { readonly [K in SettingName]?: string } = {}): Settings {
  return resolveSettings(process.env, flags);
}

/** Set variables that begin with PURSUIT_ and are no setting. */
export function misspeltVariables(): readonly string[] {
  return unknownVariables(process.env);
}
