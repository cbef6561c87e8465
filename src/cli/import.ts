import { Fault } from "../engine/core/errors.ts";
import { basename, extname, resolve } from "node:path";
import { type Command, InvalidArgumentError, Option } from "commander";
import { atomNorms } from "../engine/core/dictionary-weights.ts";
import { DICTIONARY_ID_PATTERN, INPUT_NORMS, RESELECTS, ROLES, SCORES } from "../engine/core/dictionary.ts";
import {
  IMPORT_KINDS,
  type ImportFlags,
  NORMALIZATIONS,
  SOURCES,
} from "../engine/dictionaries/importing/import-flags.ts";
import { checkValues } from "../engine/dictionaries/weights.ts";
import { understand } from "../engine/dictionaries/importing/understand.ts";
import type { Understood } from "../engine/dictionaries/importing/understood.ts";
import { writeDictionary } from "../engine/dictionaries/importing/write-dictionary.ts";
import { snakeCase } from "../engine/core/json-object.ts";
import { readSettings } from "../server/config.ts";
import { shellWord } from "../server/greeting.ts";

/** Flags of a layout as they are parsed. */
export interface LayoutFlags extends Omit<ImportFlags, "maxAtoms"> {
  readonly maxAtoms?: number | "none";
}

/** Flags for where a dictionary is written. */
export interface WriteFlags {
  readonly id?: string;
  readonly modelsDir?: string;
  readonly force?: boolean;
  readonly dryRun?: boolean;
}

/** `pursuit import`: a dictionary as it lies on disk → a folder that the server loads. */
export function registerImport(program: Command): void {
  const command = program
    .command("import <path>")
    .description(
      "import a dictionary: a published folder or weights file (docs/import.md), or matching-pursuit weights in .safetensors, .npz, .npy or .pt",
    )
    .option("--id <id>", "id of the dictionary; default: the path's name", parseId);
  addLayoutOptions(command)
    .option("--models-dir <folder>", "folder of dictionary folders (PURSUIT_MODELS_DIR, default models)")
    .option("--force", "replace a dictionary of that id")
    .option("--dry-run", "print the settings and write nothing")
    .action(async (path: string, flags: LayoutFlags & WriteFlags) => {
      const { id: given, modelsDir: named, force = false, dryRun = false, ...rest } = flags;
      const id = given ?? idOf(path);
      const understood = await understand(path, importFlags(rest), (await readSettings()).memoryLimit);
      console.log(report(path, understood));
      if (dryRun) {
        for (const warning of checkValues(understood.weights)) {
          console.log(`warning: ${warning}`);
        }
        return;
      }
      await write(understood, { id, force, ...(named !== undefined && { modelsDir: named }) });
    });
}

/** Adds the flags for what a layout's files cannot tell. */
export function addLayoutOptions(command: Command): Command {
  const choice = (flag: string, text: string, values: readonly string[]): Option =>
    new Option(flag, text).choices([...values]);
  return command
    .addOption(choice("--from <layout>", "layout of a weights file", SOURCES))
    .option("--key <name>", "the state dict inside a torch checkpoint that holds several, such as model_state_dict")
    .addOption(choice("--kind <kind>", "encoder of bare atoms; relu: overcomplete's SAE", IMPORT_KINDS))
    .addOption(choice("--role <role>", "role of the dictionary, if its files do not say", ROLES))
    .option("--k <n>", "atoms kept per row, if the files do not say", parseCount)
    .option("--layer <n>", "import one layer of a cross-layer transcoder or crosscoder, as a transcoder", parseIndex)
    .option("--threshold <number>", "threshold of every atom, if the files do not say", parseThreshold)
    .option("--rectify", "top k or threshold: drop negative values")
    .option("--no-rectify", "top k or threshold: keep negative values")
    .option("--norm-factor <number>", "factor that scales rows, if the files do not say", parseFactor)
    .addOption(choice("--score <score>", "which score wins a step", SCORES))
    .addOption(choice("--reselect <rule>", "rule for an atom that is selected again", RESELECTS))
    .option("--raw-scores", "orthogonal: select by D·r")
    .option("--no-raw-scores", "orthogonal: select by D·r over the atom's norm")
    .addOption(choice("--normalize <norm>", "normalisation of the file's atoms", NORMALIZATIONS))
    .option("--max-atoms <n>", "maximum selections per row, or none", parseCap)
    .option(
      "--residual-threshold <number>",
      "stop a row once its residual norm is below this; 0: never",
      parseThreshold,
    )
    .addOption(choice("--input-norm <norm>", "normalisation of rows before encoding", INPUT_NORMS))
    .option("--center", "subtract the file's bias before the pursuit and add it back in decode")
    .option("--no-center", "leave the file's bias out")
    .option("--float32", "import although the dictionary's own code computes in another precision");
}

/** Flags of a layout as the importers take them. */
export function importFlags({ maxAtoms, ...rest }: LayoutFlags): ImportFlags {
  return { ...rest, ...(maxAtoms !== undefined && { maxAtoms: maxAtoms === "none" ? null : maxAtoms }) };
}

/** Writes a dictionary into the models folder, and says how to go on. @throws Fault, DictionaryFault */
export async function write(
  understood: Understood,
  { id, modelsDir: named, force }: { readonly id: string; readonly modelsDir?: string; readonly force: boolean },
): Promise<void> {
  const modelsDir = resolve(named ?? (await readSettings()).modelsDir);
  const { folder, loaded } = await writeDictionary(understood, { modelsDir, id, force });
  for (const warning of loaded.warnings) console.log(`warning: ${warning}`);
  console.log(`\nWritten to ${folder} (sha256 ${loaded.sha256.slice(0, 12)}…).`);
  const where = named === undefined ? "" : ` --models-dir ${shellWord(named)}`;
  console.log(`Serve it:  npx pursuit serve${where}`);
  console.log(`           or, where one runs over this folder:  POST /v2/repository/models/${id}/load`);
  console.log(
    `Check it:  npx pursuit verify ${id}${where} --rows x.npy --codes z.npy   (your own rows and dense codes)`,
  );
}

/** What was understood: each setting with where it comes from. */
export function report(path: string, { source, weights, origins, notes, defaultBudget }: Understood): string {
  const { d, m, settings } = weights;
  const norms = atomNorms(weights).toSorted();
  const [least, most] = [norms[0]!, norms.at(-1)!];
  const lines: (readonly [string, string, string])[] = [
    ["atoms", `${m} of width ${d}`, `norms ${least.toPrecision(6)} to ${most.toPrecision(6)}`],
    ...Object.entries(settings).map(([name, value]): [string, string, string] => [
      Object.keys(snakeCase({ [name]: value }))[0]!,
      value === null ? "none" : String(value),
      origins[name] ?? "",
    ]),
    ...(defaultBudget === undefined
      ? []
      : [["default_budget", JSON.stringify(snakeCase(defaultBudget)), "of rows without a budget"] as const]),
  ];
  const width = Math.max(...lines.map(([, value]) => value.length));
  return [
    `${path}: ${source}`,
    ...lines.map(([name, value, from]) => `  ${name.padEnd(19)} ${value.padEnd(width)}  ${from}`),
    ...notes.map((note) => `  ${note}`),
  ].join("\n");
}

/** The path's own name as an id. @throws Fault where it is none */
function idOf(path: string): string {
  const name = basename(resolve(path));
  const id = name.slice(0, name.length - extname(name).length) || name;
  // Of a file's name the ending is dropped; of a folder's such as l0-8.5 it may be part of the name.
  for (const one of [/\.(safetensors|npz|npy|pt|pth|bin|ckpt|pkl)$/i.test(name) ? id : name, id]) {
    if (new RegExp(DICTIONARY_ID_PATTERN).test(one)) return one;
  }
  throw new Fault("import", [`${name} cannot be a dictionary's id; give one: --id <letters, digits, ".", "_", "-">.`]);
}

/** @throws InvalidArgumentError */
export function parseId(given: string): string {
  if (new RegExp(DICTIONARY_ID_PATTERN).test(given)) return given;
  throw new InvalidArgumentError(`It must match ${DICTIONARY_ID_PATTERN}.`);
}

function parseCap(given: string): number | "none" {
  if (given === "none") return "none";
  if (/^[1-9]\d{0,8}$/.test(given)) return Number(given);
  throw new InvalidArgumentError("It must be an integer ≥ 1, or none.");
}

function parseCount(given: string): number {
  if (/^[1-9]\d{0,8}$/.test(given)) return Number(given);
  throw new InvalidArgumentError("It must be an integer ≥ 1.");
}

function parseIndex(given: string): number {
  if (/^\d{1,4}$/.test(given)) return Number(given);
  throw new InvalidArgumentError("It must be an integer ≥ 0.");
}

function parseFactor(given: string): number {
  const value = Number(given);
  if (given.trim() !== "" && Number.isFinite(value) && value > 0) return value;
  throw new InvalidArgumentError("It must be a number above 0.");
}

function parseThreshold(given: string): number {
  const value = given.trim() === "" ? Number.NaN : Number(given);
  if (Number.isFinite(value) && value >= 0) return value;
  throw new InvalidArgumentError("It must be a number ≥ 0.");
}
