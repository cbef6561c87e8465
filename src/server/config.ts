import {
  resolveSettings,
  SECRET_SETTINGS,
  type SettingName,
  type Settings,
  unknownVariables,
  variableOf,
} from "./settings.ts";

/**
 * The one place that reads the environment. Keys are taken out of it: the processes that this one starts, and reports
 * that are written of it, have no use for them.
 * @throws SettingsFault with all faults at once.
 */
export function readSettings(flags: { readonly [K in SettingName]?: string } = {}): Settings {
  const settings = resolveSettings(process.env, flags);
  for (const name of SECRET_SETTINGS) delete process.env[variableOf(name)];
  return settings;
}

/** Set variables that begin with PURSUIT_ and are no setting. */
export function misspeltVariables(): readonly string[] {
  return unknownVariables(process.env);
}
