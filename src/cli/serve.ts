import type { Command } from "commander";
import { addSettings, misspeltVariables, settingsOf, tracingHeaders } from "../server/config.ts";

/** `pursuit serve`: every setting is a flag, too. */
export function registerServe(program: Command): void {
  const command = program.command("serve").description("serve the dictionaries of a models folder over HTTP");
  addSettings(command).action(async () => {
    const settings = await settingsOf(command);
    for (const name of misspeltVariables())
      console.error(`${name} is not a setting of pursuit; "pursuit serve --help" lists them.`);
    // The other commands do without HTTP, and start in half the time.
    const { serve } = await import("../server/main.ts");
    await serve(settings, tracingHeaders());
  });
}
