import { Fault, isSystemError } from "../core/errors.ts";
import { createHash } from "node:crypto";
import { join } from "node:path";
import type { DictionaryManifest } from "../core/dictionary.ts";
import { byteViews, narrowed } from "../core/float-formats.ts";
import type { DictionaryWeights } from "../core/dictionary-weights.ts";
import { specOf } from "../encoders/registry.ts";
import { FormatError } from "./formats/format-error.ts";
import { type Room, SafetensorsFile, type TensorEntry } from "./formats/safetensors.ts";
import { type StoredTensor, versionDigest } from "./version.ts";

export const WEIGHTS_FILE = "weights.safetensors";

/** Faulty atoms named one by one; a file that has more is broken as a whole. */
const NAMED = 5;

export interface LoadedWeights {
  readonly weights: DictionaryWeights;
  /** Identity of the version, hex: see version.ts. */
  readonly sha256: string;
  /** SHA-256 of the weights file, hex: the identity by which earlier releases bound steering sets. */
  readonly fileSha256: string;
  /** Sentences about what is allowed but deserves attention. */
  readonly warnings: readonly string[];
}

/**
 * Reads the weights of a dictionary folder once and checks them against its manifest. Weights and digests come from the
 * same bytes, so that a file replaced meanwhile cannot be served under another's digest.
 * @param room memory to read tensors into, where they are to stay in a certain one
 * @throws Fault with every fault found.
 */
export async function loadWeights(folder: string, manifest: DictionaryManifest, room?: Room): Promise<LoadedWeights> {
  const path = join(folder, WEIGHTS_FILE);
  try {
    const file = await SafetensorsFile.open(path);
    try {
      const warnings = checkTensors(file, manifest);
      const { floats, stored, fileSha256 } = await readTensors(file, tensorShapes(manifest), room);
      const weights = weightsOf(manifest, floats);
      warnings.push(...checkValues(weights));
      return { weights, sha256: versionDigest(manifest, stored), fileSha256, warnings };
    } finally {
      await file.close();
    }
  } catch (error) {
    if (error instanceof FormatError) throw new Fault("broken", [error.message]);
    if (isSystemError(error)) {
      throw new Fault("broken", [`${WEIGHTS_FILE} cannot be read: ${error.message}.`]);
    }
    throw error;
  }
}

/**
 * Tensors that a dictionary is made of, with their shapes. A dictionary with blocks has the atoms of block i in `atoms.<i>`
 * [atoms, layers written, d_out / layers].
 */
export function tensorShapes(
  manifest: Pick<DictionaryManifest, "kind" | "dIn" | "dOut" | "m" | "layers" | "blocks" | "encoder">,
): ReadonlyMap<string, readonly number[]> {
  const { dOut, m, encoder, layers = 1, blocks } = manifest;
  const atoms = blocks?.map(
    ({ from, to, writes }, i) => [atomsOfBlock(i), [to - from, writes.length, dOut / layers]] as const,
  );
  return new Map<string, readonly number[]>([
    ...(atoms ?? [["atoms", [m, dOut]] as const]),
    ...(encoder.center ? ([["center", [dOut]]] as const) : []),
    ...Object.entries(specOf(manifest).tensors(manifest, encoder)),
  ]);
}

const atomsOfBlock = (i: number): string => `atoms.${i}`;

/** Bytes of a dictionary's tensors in memory: float32, and atoms with zeros for layers that they do not write to. */
export function bytesInMemory(manifest: Parameters<typeof tensorShapes>[0]): number {
  let floats = manifest.m * manifest.dOut;
  for (const [name, shape] of tensorShapes(manifest))
    if (!/^atoms(?:\.|$)/.test(name)) floats += shape.reduce((product, side) => product * side, 1);
  return 4 * floats;
}

/** Shapes against the manifest, before anything is read. Returns warnings. */
function checkTensors({ tensors }: SafetensorsFile, manifest: DictionaryManifest): string[] {
  const faults: string[] = [];
  const shapes = tensorShapes(manifest);
  for (const [name, shape] of shapes) {
    const entry: TensorEntry | undefined = tensors.get(name);
    if (entry === undefined) faults.push(`${WEIGHTS_FILE} holds no tensor "${name}", which the manifest requires.`);
    else if (entry.shape.join() !== shape.join()) {
      faults.push(
        `${WEIGHTS_FILE}: "${name}" is [${entry.shape.join(", ")}]; the manifest says [${shape.join(", ")}].`,
      );
    }
  }
  if (!manifest.encoder.center && tensors.has("center")) {
    faults.push(`${WEIGHTS_FILE} holds a "center", but encoder.center is false: set it, or leave the tensor out.`);
  }
  if (faults.length > 0) throw new Fault("broken", faults);
  const unused = [...tensors.keys()].filter((name) => !shapes.has(name));
  return unused.length === 0
    ? []
    : [`${WEIGHTS_FILE} holds tensors that this encoder does not use: ${unused.join(", ")}.`];
}

interface ReadTensors {
  readonly floats: ReadonlyMap<string, Float32Array>;
  readonly stored: readonly StoredTensor[];
  readonly fileSha256: string;
}

/** The whole file in one pass; tensors that are used are decoded. */
async function readTensors(
  file: SafetensorsFile,
  used: ReadonlyMap<string, unknown>,
  room?: Room,
): Promise<ReadTensors> {
  const hash = createHash("sha256").update(file.head);
  const floats = new Map<string, Float32Array>();
  const stored: StoredTensor[] = [];
  for (const [name, { dtype, shape }] of [...file.tensors].sort(([, a], [, b]) => a.from - b.from || a.to - b.to)) {
    if (!used.has(name)) {
      for await (const bytes of file.pieces(name)) hash.update(bytes);
      continue;
    }
    const wide: Uint8Array[] = [];
    const read = (bytes: Uint8Array): void => {
      hash.update(bytes);
      if (dtype === "F64") wide.push(bytes);
    };
    const data = await file.readFloats(name, read, room);
    const pieces = dtype === "F64" ? wide : storedBytes(data, dtype);
    floats.set(name, data);
    stored.push({ name, dtype, shape, pieces });
  }
  return { floats, stored, fileSha256: hash.digest("hex") };
}

/** Numbers of a half precision turned back into their bytes at once. */
const NARROWED_AT_ONCE = 1 << 20;

/** The stored bytes of finite numbers, from the numbers: keeping the bytes until they are hashed would take half as much again. */
function* storedBytes(data: Float32Array, dtype: string): Generator<Uint8Array> {
  if (dtype !== "F16" && dtype !== "BF16") {
    yield* byteViews(data);
    return;
  }
  for (let from = 0; from < data.length; from += NARROWED_AT_ONCE) {
    const halves = narrowed(data.subarray(from, from + NARROWED_AT_ONCE), dtype);
    if (halves === null) throw new Error(`numbers of ${dtype} do not fit into it`);
    yield new Uint8Array(halves.buffer, halves.byteOffset, halves.byteLength);
  }
}

function weightsOf(manifest: DictionaryManifest, floats: ReadonlyMap<string, Float32Array>): DictionaryWeights {
  const { role, dIn, dOut, m, kind, layers, blocks, encoder } = manifest;
  const others = [...floats].filter(([name]) => !/^atoms(?:\.|$)/.test(name));
  const { center = null, ...tensors } = Object.fromEntries(others) as Record<string, Float32Array>;
  return {
    kind,
    role,
    dIn,
    d: dOut,
    m,
    ...(layers !== undefined && { layers }),
    ...(blocks && { blocks }),
    atoms: blocks === undefined ? floats.get("atoms")! : joinBlocks(manifest, (i) => floats.get(atomsOfBlock(i))!),
    center,
    settings: encoder,
    ...(Object.keys(tensors).length > 0 && { tensors }),
  };
}

type LayeredAtoms = Pick<DictionaryManifest, "m" | "dOut" | "layers" | "blocks">;

/**
 * Atoms [m, dOut] of the blocks' own, with zeros for the layers that a block does not write to.
 * @param atomsOf block i's atoms, [atoms, layers written, dOut / layers]
 */
export function joinBlocks({ m, dOut, layers = 1, blocks = [] }: LayeredAtoms, atomsOf: (i: number) => Float32Array) {
  const joined = new Float32Array(m * dOut);
  const width = dOut / layers;
  for (const [i, { from, to, writes }] of blocks.entries()) {
    const atoms = atomsOf(i);
    for (let j = from, at = 0; j < to; j++) {
      for (const layer of writes) {
        joined.set(atoms.subarray(at, at + width), j * dOut + layer * width);
        at += width;
      }
    }
  }
  return joined;
}

/** The inverse: each block's own atoms, by the names of their tensors. */
export function atomsByBlock({ d, layers = 1, blocks = [], atoms }: DictionaryWeights): Record<string, Float32Array> {
  const width = d / layers;
  const parts = blocks.map(({ from, to, writes }, i) => {
    const part = new Float32Array((to - from) * writes.length * width);
    for (let j = from, at = 0; j < to; j++) {
      for (const layer of writes) {
        part.set(atoms.subarray(j * d + layer * width, j * d + (layer + 1) * width), at);
        at += width;
      }
    }
    return [atomsOfBlock(i), part] as const;
  });
  return Object.fromEntries(parts);
}

/** Zero atoms keep their index: a dead feature's label and statistics belong to it. */
function zeroWarnings({ kind }: DictionaryWeights, zero: readonly number[]): string[] {
  if (zero.length === 0) return [];
  const shown = `${zero.slice(0, NAMED).join(", ")}${zero.length > NAMED ? ", …" : ""}`;
  const effect =
    specOf({ kind }).family === "pursuit" ? "They are never selected." : "They may fire, and add nothing to a row.";
  return [`${zero.length} ${zero.length === 1 ? "atom is" : "atoms are"} zero (${shown}). ${effect}`];
}

/** Every number, once. Returns warnings. @throws Fault with every fault */
export function checkValues(weights: DictionaryWeights): string[] {
  const { d, m, atoms, center } = weights;
  const faults: string[] = [];
  const zero: number[] = [];
  let notFinite = 0;
  let largest = 0;
  for (let j = 0; j < m; j++) {
    let energy = 0;
    for (let i = j * d; i < (j + 1) * d; i++) energy += atoms[i]! * atoms[i]!;
    largest = Math.max(largest, energy);
    if (energy === 0) zero.push(j);
    // A finite float32 squared is finite in float64, so only NaN and ±Infinity come here.
    if (!Number.isFinite(energy) && ++notFinite <= NAMED) {
      const column = atoms.subarray(j * d, (j + 1) * d).findIndex((value) => !Number.isFinite(value));
      faults.push(
        `${WEIGHTS_FILE}: atom ${j}, column ${column} is ${atoms[j * d + column]}; every weight must be finite.`,
      );
    }
  }
  if (notFinite > NAMED) faults.push(`${WEIGHTS_FILE}: ${notFinite} atoms hold numbers that are not finite.`);
  if (zero.length === m) faults.push(`${WEIGHTS_FILE}: every atom is zero; the file was written wrongly.`);
  const others = { center, ...weights.tensors };
  for (const [name, values] of Object.entries(others)) {
    const bad = values?.findIndex((value) => !Number.isFinite(value)) ?? -1;
    if (bad < 0) continue;
    const width = values!.length / m;
    const where =
      name === "encoder_weight" ? `atom ${Math.floor(bad / width)}, column ${bad % width}` : `column ${bad}`;
    faults.push(`${WEIGHTS_FILE}: ${name}, ${where} is ${values![bad]}; every weight must be finite.`);
  }
  if (faults.length > 0) throw new Fault("broken", faults);
  return [...zeroWarnings(weights, zero), ...(specOf(weights).warnings?.(weights, largest) ?? [])];
}
