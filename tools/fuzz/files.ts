/**
 * Damages dictionaries of every layout and format, and loads or imports them in this process. Each must be refused in words,
 * or be read as what its files say; an import leaves a whole dictionary or none; nothing hangs or takes memory without end.
 *
 *     npx tsx tools/fuzz/files.ts [--count 100000 | --seconds 30] [--seed 1] [--only 1234]
 *
 * `--only` reads one case again and prints what comes of it. Checkpoints of torch have a fuzzer of their own (torch.ts).
 */
import { Fault } from "../../src/engine/core/errors.ts";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { Worker } from "node:worker_threads";
import type { DictionaryWeights } from "../../src/engine/core/dictionary-weights.ts";
import { readExamples } from "../../src/engine/dictionaries/examples.ts";
import { FormatError } from "../../src/engine/dictionaries/formats/format-error.ts";
import { understand } from "../../src/engine/dictionaries/importing/understand.ts";
import { writeDictionary } from "../../src/engine/dictionaries/importing/write-dictionary.ts";
import { readLabels } from "../../src/engine/dictionaries/labels.ts";
import { readManifest } from "../../src/engine/dictionaries/manifest.ts";
import { loadWeights } from "../../src/engine/dictionaries/weights.ts";
import { type FileCase, fileCaseOf } from "./file-cases.ts";
import { weightsFault } from "./file-oracles.ts";
import { sameNumbers } from "./published-folders.ts";
import { most, only, secondsToRun, seed } from "./options.ts";

const until = performance.now() + secondsToRun * 1000;

/** Seconds without a finished case after which the process is hung. */
const PATIENCE = 60;
/** MiB that this process may hold at its peak: some 200 for itself and tsx. */
const MOST_MIB = 900;
/** Faults after which it ends. */
const MOST_FAULTS = 20;
/** Characters of a refusal. */
const MOST_SAID = 4000;

const folder = mkdtempSync(join(tmpdir(), "pursuit-fuzz-"));
const models = join(folder, "models");
mkdirSync(models);

type Outcome = { readonly weights: DictionaryWeights } | { readonly refused: string };

/** @throws whatever is no refusal in words */
async function read(files: FileCase["files"], { kind, path, file, flags }: FileCase): Promise<Outcome> {
  const root = join(folder, "case");
  rmSync(root, { recursive: true, force: true });
  const place = join(root, path);
  mkdirSync(place, { recursive: true });
  for (const [name, bytes] of Object.entries(files)) {
    mkdirSync(dirname(join(place, name)), { recursive: true });
    writeFileSync(join(place, name), bytes);
  }
  try {
    if (kind === "dictionary") return await load(place);
    const understood = await understand(file === undefined ? place : join(place, file), flags);
    const { loaded } = await writeDictionary(understood, { modelsDir: models, id: "x", force: true });
    if (!sameNumbers(loaded.weights, understood.weights)) {
      throw new Error("the dictionary that was written holds other numbers than were read");
    }
    return { weights: loaded.weights };
  } catch (error) {
    if (error instanceof Fault || error instanceof FormatError) {
      return { refused: error.message };
    }
    throw error;
  }
}

async function load(place: string): Promise<Outcome> {
  const manifest = await readManifest(place, () => {});
  const labels = await readLabels(place, manifest.m);
  for (const index of labels?.facts.keys() ?? []) if (!(index < manifest.m)) throw new Error(`a label of ${index}`);
  await readExamples(place, manifest.dIn, () => {});
  return { weights: (await loadWeights(place, manifest)).weights };
}

/** What is left in the models folder: one dictionary that loads, or none. */
async function leftBehind(had: boolean): Promise<string | null> {
  const places = readdirSync(folder).toSorted().join();
  if (places !== "case,models") return `the folder around holds ${places}`;
  const names = readdirSync(models);
  if (names.length === 0) return had ? "the dictionary that was there is gone" : null;
  if (names.join() !== "x") return `the models folder holds ${names.join()}`;
  const left = join(models, "x");
  await loadWeights(left, await readManifest(left));
  return null;
}

const faults: string[] = [];
const counts = new Map<string, number>();
const report = (what: string): void => {
  faults.push(what);
  console.error(what);
};

async function check(index: number): Promise<string> {
  const one = await fileCaseOf(seed, index);
  const had = existsSync(join(models, "x"));
  const outcome = await read(one.files, one);
  const left = one.kind === "dictionary" ? null : await leftBehind(had);
  if (left !== null) throw new Error(left);
  const refused = "refused" in outcome;
  const what = `${one.kind}: ${one.damage}`;
  counts.set(
    `${what} ${refused ? "refused" : "read"}`,
    (counts.get(`${what} ${refused ? "refused" : "read"}`) ?? 0) + 1,
  );
  const fault = refused ? refusalFault(one, outcome.refused) : await acceptedFault(one, outcome.weights);
  if (fault !== null) throw new Error(`${what} of ${one.path} ${one.damagedFile} ${one.tensor ?? ""}: ${fault}`);
  return refused ? outcome.refused : "read";
}

/** What is wrong with a refusal; null: nothing. */
function refusalFault({ expected }: FileCase, said: string): string | null {
  if (said.length > MOST_SAID) return `a refusal of ${said.length} characters: ${said.slice(0, 200)}`;
  if (expected === undefined) return null;
  if ("read" in expected) return `refused: ${said}`;
  return expected.refused.some((word) => said.includes(word))
    ? null
    : `does not say ${expected.refused.join(" or ")}: ${said}`;
}

/** What is wrong with a dictionary that was read; null: nothing. */
async function acceptedFault(one: FileCase, weights: DictionaryWeights): Promise<string | null> {
  const { expected, published, twin } = one;
  if (expected !== undefined && "refused" in expected) return "was read";
  if (expected !== undefined && published !== undefined && !sameNumbers(weights, published.weights))
    return "read as other numbers";
  if (twin !== undefined && one.damage !== "bytes") {
    const other = await read(twin, one);
    if ("refused" in other || !sameNumbers(other.weights, weights))
      return "the same numbers as float32 are another dictionary";
  }
  return weightsFault(one, weights);
}

/** Ends the process when no case has ended for PATIENCE seconds, since a hung thread cannot do so itself. */
function watch(progress: Int32Array): Worker {
  const code = `
    const { workerData: { progress, patience }, parentPort } = require("node:worker_threads");
    let last = -1;
    setInterval(() => {
      const now = Atomics.load(progress, 0);
      if (now === last) {
        require("node:fs").writeSync(2, "case " + now + " hangs\\n");
        process.kill(process.pid, "SIGKILL");
      }
      last = now;
    }, patience * 1000);`;
  return new Worker(code, { eval: true, workerData: { progress, patience: PATIENCE } });
}

const progress = new Int32Array(new SharedArrayBuffer(4));
const watcher = watch(progress);
const started = performance.now();
let index = only ?? 0;
// Errors that no promise carries, such as those of a stream, would end the process without a word of the case.
process.on("uncaughtException", (error) => {
  writeSync(2, `--seed ${seed} --only ${index}: uncaught ${error.stack ?? String(error)}\n`);
  process.exit(1);
});
if (only !== undefined) {
  const { kind, path, damage, files, damagedFile } = await fileCaseOf(seed, index);
  console.log(kind, path, damage, damagedFile);
  if (damagedFile in files) console.log(Buffer.from(files[damagedFile]!).toString("latin1").slice(0, 1500));
  console.log(await check(index));
} else {
  for (; index < most && performance.now() < until && faults.length < MOST_FAULTS; index++) {
    Atomics.store(progress, 0, index);
    try {
      await check(index);
    } catch (error) {
      report(
        `--seed ${seed} --only ${index}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
      );
    }
    if (index > 0 && index % 10_000 === 0) console.log(`${index} read`);
  }
}
await watcher.terminate();
rmSync(folder, { recursive: true, force: true });
const peak = process.resourceUsage().maxRSS / 1024;
if (peak > MOST_MIB) report(`this process held ${Math.round(peak)} MiB at its peak; at most ${MOST_MIB} are bounded`);
const seconds = (performance.now() - started) / 1000;
for (const [what, count] of [...counts].toSorted(([a], [b]) => a.localeCompare(b))) console.log(`  ${what}: ${count}`);
console.log(
  `${index} dictionaries (seed ${seed}) in ${seconds.toFixed(0)} s: peak ${Math.round(peak)} MiB, ${faults.length} faults.`,
);
process.exitCode = faults.length === 0 ? 0 : 1;
