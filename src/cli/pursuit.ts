/** The command line. Faults that a user can mend are printed as sentences, never as stacks. */
import { readFileSync } from "node:fs";
import { Command } from "commander";
import { registerDoctor } from "./doctor.ts";
import { registerEncode } from "./encode.ts";
import { registerEncodeFiles } from "./encode-files.ts";
import { registerImport } from "./import.ts";
import { registerPull } from "./pull.ts";
import { registerSearch } from "./search.ts";
import { registerServe } from "./serve.ts";
import { registerLabels } from "./labels.ts";
import { registerStats } from "./stats.ts";
import { registerVerify } from "./verify.ts";
import { hideSecrets, redact } from "../server/config.ts";

hideSecrets();

const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
  version: string;
};
const program = new Command("pursuit").description("Inference server for sparse dictionaries").version(version);
// A misspelt flag may carry a key: --api-key=….
const withoutValues = (text: string): string => text.replace(/(unknown option '-[^=']*)=[^']*/, "$1");
program.configureOutput({ outputError: (text, write) => write(redact(withoutValues(text))) });
registerServe(program);
registerEncode(program);
registerEncodeFiles(program);
registerImport(program);
registerVerify(program);
registerPull(program);
registerSearch(program);
registerStats(program);
registerLabels(program);
registerDoctor(program);

try {
  await program.parseAsync();
} catch (error) {
  console.error(redact(error instanceof Error ? error.message : String(error)));
  process.exitCode = 1;
}
