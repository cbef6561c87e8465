import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { DictionaryWeights } from "../../src/engine/core/dictionary-weights.ts";
import { SafetensorsFile } from "../../src/engine/dictionaries/formats/safetensors.ts";
import { openTensorFile, type TensorFile } from "../../src/engine/dictionaries/formats/tensor-file.ts";
import type { ImportFlags } from "../../src/engine/dictionaries/importing/import-flags.ts";
import { understand } from "../../src/engine/dictionaries/importing/understand.ts";
import { FIXTURES, ONE_PASS_FIXTURES } from "../../test/support/one-pass-fixture.ts";
import { writeDictionary } from "../../src/engine/dictionaries/importing/write-dictionary.ts";
import {
  ENDINGS,
  type Format,
  formatOf,
  npzBytes,
  safetensorsBytes,
  type Settings,
  storable,
  type Tensor,
  type Tensors,
  torchBytes,
} from "./tensor-files.ts";

/** The fixtures, which their publishers' own classes have saved, as files that can be written again in other ways. */

/** Content of a file with tensors. */
export interface WeightsFile {
  /** Inside the folder. */
  readonly name: string;
  readonly tensors: Tensors;
  /** Name of the dict of a checkpoint that holds the tensors; "": the outermost one. */
  readonly inside: string;
  /** What a checkpoint holds beside float tensors. */
  readonly settings: Settings;
}

/** One fixture. */
export interface PublishedFolder {
  /** Its layout; `dictionary`: what import makes of it. */
  readonly kind: string;
  /** Its path under test/fixtures, since the names of folders may say what they hold. */
  readonly path: string;
  /** The file that is imported by itself; absent: the folder is. */
  readonly file?: string;
  readonly flags: ImportFlags;
  /** Every file as the publisher wrote it. */
  readonly files: Readonly<Record<string, Uint8Array>>;
  readonly weightsFiles: readonly WeightsFile[];
  /** Formats in which import reads the same dictionary from its weights. */
  readonly formats: readonly Format[];
  /** What import reads of it. */
  readonly weights: DictionaryWeights;
}

const known = new Map<string, Promise<PublishedFolder>>();

/** Paths of all fixtures. */
export const PUBLISHED: readonly string[] = ONE_PASS_FIXTURES;

/** A fixture, read once; or the dictionary that import makes of it, as the server loads it. */
export function publishedFolder(path: string, imported: boolean): Promise<PublishedFolder> {
  const key = `${imported} ${path}`;
  const folder = known.get(key) ?? (imported ? importedFolder(path) : readFolder(path));
  known.set(key, folder);
  return folder;
}

async function importedFolder(path: string): Promise<PublishedFolder> {
  const { file = "", flags } = await publishedFolder(path, false);
  const models = mkdtempSync(join(tmpdir(), "pursuit-fuzz-"));
  try {
    const understood = await understand(join(FIXTURES, path, file), flags);
    const { folder, loaded } = await writeDictionary(understood, { modelsDir: models, id: "x", force: false });
    const files = Object.fromEntries(readdirSync(folder).map((name) => [name, readFileSync(join(folder, name))]));
    const weightsFiles = [await readWeights(folder, "weights.safetensors")];
    return {
      kind: "dictionary",
      path: "",
      flags: {},
      files,
      weightsFiles,
      formats: ["safetensors"],
      weights: loaded.weights,
    };
  } finally {
    rmSync(models, { recursive: true, force: true });
  }
}

async function readFolder(path: string): Promise<PublishedFolder> {
  const folder = join(FIXTURES, path);
  const about = JSON.parse(readFileSync(join(folder, "library.json"), "utf8")) as Pick<PublishedFolder, "file"> & {
    readonly flags?: ImportFlags;
  };
  const { file, flags = {} } = about;
  const names = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name !== "library.json" && !entry.name.endsWith(".npy"))
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1));
  const files = Object.fromEntries(names.map((name) => [name, readFileSync(join(folder, name))]));
  const weightsFiles = await Promise.all(
    names.filter((name) => formatOf(name) !== null).map((name) => readWeights(folder, name)),
  );
  const { weights } = await understand(join(folder, file ?? ""), flags);
  const kind = path.replace(/^[^/]+\//, "").split("/")[0]!;
  const read = { kind, path, ...(file !== undefined && { file }), flags, files, weightsFiles, weights };
  const formats: Format[] = [];
  for (const format of ["safetensors", "npz", "torch"] as const) {
    if (await readsAlike({ ...read, formats: [] }, format)) formats.push(format);
  }
  if (formats.length === 0) throw new Error(`${path} is read in no format that the fuzzer writes`);
  return { ...read, formats };
}

async function readWeights(folder: string, name: string): Promise<WeightsFile> {
  const file = await openTensorFile(join(folder, name));
  try {
    const inside = file.stateDicts?.includes("") === false ? file.stateDicts[0]! : "";
    const cut = inside === "" ? 0 : inside.length + 1;
    const tensors: Record<string, Tensor> = {};
    const settings = new Map(file.settings ?? []);
    for (const [tensor, { dtype, shape }] of file.tensors) {
      const integers = INTEGERS[dtype];
      // float32 holds every number of the fixtures.
      tensors[tensor.slice(cut)] =
        integers === undefined
          ? { dtype: "F32", shape, data: [...(await file.readFloats(tensor))] }
          : { dtype: integers, shape, data: await integersOf(file, tensor, integers) };
      settings.delete(tensor);
    }
    return { name, tensors, inside, settings: Object.fromEntries(settings) as Settings };
  } finally {
    await file.close();
  }
}

const INTEGERS: Readonly<Record<string, "I64" | "I32" | "U8">> = { I64: "I64", I32: "I32", U8: "U8" };

async function integersOf(file: TensorFile, name: string, dtype: "I64" | "I32" | "U8"): Promise<readonly number[]> {
  if (!(file instanceof SafetensorsFile)) return [file.settings!.get(name)].flat() as number[];
  const parts: Uint8Array[] = [];
  for await (const part of file.pieces(name)) parts.push(part);
  const bytes = Buffer.concat(parts);
  if (dtype === "U8") return [...bytes];
  const width = dtype === "I64" ? 8 : 4;
  return Array.from({ length: bytes.length / width }, (_, i) =>
    dtype === "I64" ? Number(bytes.readBigInt64LE(i * 8)) : bytes.readInt32LE(i * 4),
  );
}

/** A file of the same content, its name with the format's ending. */
export function rewritten(
  { name, inside, settings }: WeightsFile,
  tensors: Tensors,
  format: Format,
): readonly [name: string, bytes: Uint8Array] {
  const own = formatOf(name);
  const renamed = format === own ? name : name.replace(/\.[a-z]+$/, ENDINGS[format]);
  if (format === "torch") return [renamed, torchBytes(tensors, { inside, settings })];
  return [renamed, format === "npz" ? npzBytes(tensors) : safetensorsBytes(tensors)];
}

/** The folder's files with all weights in a format, and the file to import by itself. */
export function inFormat({ files, file, weightsFiles }: PublishedFolder, format: Format) {
  const kept = Object.entries(files).filter(([name]) => formatOf(name) === null);
  const written = weightsFiles.map((one) => rewritten(one, one.tensors, format));
  return {
    files: Object.fromEntries([...kept, ...written]) as Record<string, Uint8Array>,
    ...(file !== undefined && { file: rewritten(weightsFiles[0]!, {}, format)[0] }),
  };
}

/** Whether import reads the same of the weights in another format; where it refuses that format, it does not. */
async function readsAlike(folder: PublishedFolder, format: Format): Promise<boolean> {
  const tensors = folder.weightsFiles.flatMap((one) => Object.values(one.tensors));
  if (!tensors.every((one) => storable(format, one))) return false;
  const place = mkdtempSync(join(tmpdir(), "pursuit-fuzz-"));
  try {
    const { files, file = "" } = inFormat(folder, format);
    const root = join(place, folder.path);
    for (const [name, bytes] of Object.entries(files)) {
      mkdirSync(dirname(join(root, name)), { recursive: true });
      writeFileSync(join(root, name), bytes);
    }
    const { weights } = await understand(join(root, file), folder.flags);
    return weights.kind === folder.weights.kind && sameNumbers(weights, folder.weights);
  } catch {
    return false;
  } finally {
    rmSync(place, { recursive: true, force: true });
  }
}

/** Arrays of a dictionary by name. */
export const arraysOf = ({ atoms, center, tensors }: DictionaryWeights): Readonly<Record<string, Float32Array>> => ({
  atoms,
  ...(center && { center }),
  ...tensors,
});

export const same = (a: Float32Array, b: Float32Array): boolean =>
  a.length === b.length && a.every((value, i) => Object.is(value, b[i]));

/** Whether two dictionaries have the same arrays, bit by bit. */
export function sameNumbers(a: DictionaryWeights, b: DictionaryWeights): boolean {
  const [one, other] = [arraysOf(a), arraysOf(b)];
  const names = Object.keys(one);
  return (
    names.length === Object.keys(other).length && names.every((name) => other[name] && same(one[name]!, other[name]))
  );
}
