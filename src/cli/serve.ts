import { type Command, Option } from "commander";
import { misspeltVariables, readSettings, tracingHeaders } from "../server/config.ts";
import { flagOf, type SettingName, SETTINGS, variableOf } from "../server/settings.ts";

/** `pursuit serve`: every setting is a flag, too. */
export function registerServe(program: Command): void {
  const command = program.command("serve").description("serve the dictionaries of a models folder over HTTP");
  for (const name of Object.keys(SETTINGS) as SettingName[]) {
    const { describe, fallback } = SETTINGS[name];
    // Of keys there are none unless they are given.
    const standard = typeof fallback === "object" ? "" : `, default ${fallback}`;
    // Parsed and checked with the environment's, so that all faults are told at once.
    command.addOption(new Option(`${flagOf(name)} <value>`, `${describe} (${variableOf(name)}${standard})`));
  }
  command.action(async (flags: { readonly [K in SettingName]?: string }) => {
    const settings = readSettings(flags);
    for (const name of misspeltVariables())
      console.error(`${name} is not a setting of pursuit; "pursuit serve --help" lists them.`);
    // The other commands do without HTTP, and start in half the time.
    const { serve } = await import("../server/main.ts");
    await serve(settings, tracingHeaders());
  });
}
