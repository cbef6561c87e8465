import { readFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { registerDoctor } from "./doctor.ts";
import { registerEmbedder } from "./embedder.ts";
import { registerEncode } from "./encode.ts";
import { registerEncodeFiles } from "./encode-files.ts";
import { registerImport } from "./import.ts";
import { registerPull } from "./pull.ts";
import { registerSearch } from "./search.ts";
import { registerServe } from "./serve.ts";
import { registerLabels } from "./labels.ts";
import { registerStats } from "./stats.ts";
import { registerVerify } from "./verify.ts";
import { redact } from "../server/config.ts";

function createProgram(): Command {
  const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
    version: string;
  };
  const program = new Command("pursuit").description("Inference server for sparse dictionaries").version(version);
  // A misspelt flag may carry a key: --api-key=….
  const withoutValues = (text: string): string => text.replace(/(unknown option '-[^=']*)=[^']*/, "$1");
  program.configureOutput({ outputError: (text, write) => write(redact(withoutValues(text))) });
  // Subcommands inherit this; commander would end the process.
  program.exitOverride();
  registerServe(program);
  registerEncode(program);
  registerEncodeFiles(program);
  registerImport(program);
  registerVerify(program);
  registerPull(program);
  registerSearch(program);
  registerStats(program);
  registerLabels(program);
  registerEmbedder(program);
  registerDoctor(program);
  return program;
}

/**
 * Runs one command and sets the process's exit code. Faults that a user can mend are printed as sentences, without a stack.
 * @param args the command's name, its arguments and flags
 */
export async function run(args: readonly string[]): Promise<void> {
  try {
    await createProgram().parseAsync(args, { from: "user" });
  } catch (error) {
    // Commander has printed its own.
    if (error instanceof CommanderError) {
      process.exitCode = error.exitCode;
      return;
    }
    console.error(redact(error instanceof Error ? error.message : String(error)));
    process.exitCode = 1;
  }
}
