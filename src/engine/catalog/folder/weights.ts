import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import type { DictionaryManifest } from "../../dictionary.ts";
import type { DictionaryWeights } from "../../dictionary-weights.ts";
import { FormatError } from "../formats/format-error.ts";
import { SafetensorsFile, type TensorEntry } from "../formats/safetensors.ts";
import { DictionaryFault } from "./dictionary-fault.ts";

export const WEIGHTS_FILE = "weights.safetensors";

/** Faulty atoms named one by one; a file that has more is broken as a whole. */
const NAMED = 5;

export interface LoadedWeights {
  readonly weights: DictionaryWeights;
  /** Of the weights file, hex. */
  readonly sha256: string;
  /** Sentences about what is allowed but deserves attention. */
  readonly warnings: readonly string[];
}

/**
 * Reads the weights of a dictionary folder and checks them against its manifest.
 * @throws DictionaryFault with every fault found.
 */
export async function loadWeights(folder: string, manifest: DictionaryManifest): Promise<LoadedWeights> {
  const path = join(folder, WEIGHTS_FILE);
  try {
    const file = await SafetensorsFile.open(path);
    try {
      const warnings = checkTensors(file, manifest);
      const atoms = await file.readFloats("atoms");
      const center = manifest.encoder.center ? await file.readFloats("center") : null;
      warnings.push(...checkValues(atoms, center, manifest));
      const { d, m, encoder: settings } = manifest;
      return { weights: { d, m, atoms, center, settings }, sha256: await sha256Of(path), warnings };
    } finally {
      await file.close();
    }
  } catch (error) {
    if (error instanceof FormatError) throw new DictionaryFault([error.message]);
    if (error instanceof Error && "code" in error) {
      throw new DictionaryFault([`${WEIGHTS_FILE} cannot be read: ${error.message}.`]);
    }
    throw error;
  }
}

/** Shapes against the manifest, before anything is read. Returns warnings. */
function checkTensors({ tensors }: SafetensorsFile, { d, m, encoder }: DictionaryManifest): string[] {
  const faults: string[] = [];
  const expect = (name: string, shape: readonly number[]): void => {
    const entry: TensorEntry | undefined = tensors.get(name);
    if (entry === undefined) faults.push(`${WEIGHTS_FILE} holds no tensor "${name}", which the manifest asks for.`);
    else if (entry.shape.join() !== shape.join()) {
      faults.push(
        `${WEIGHTS_FILE}: "${name}" is [${entry.shape.join(", ")}]; the manifest says [${shape.join(", ")}].`,
      );
    }
  };
  expect("atoms", [m, d]);
  if (encoder.center) expect("center", [d]);
  else if (tensors.has("center")) {
    faults.push(`${WEIGHTS_FILE} holds a "center", but encoder.center is false: set it, or leave the tensor out.`);
  }
  if (faults.length > 0) throw new DictionaryFault(faults);
  const unused = [...tensors.keys()].filter((name) => name !== "atoms" && name !== "center");
  return unused.length === 0
    ? []
    : [`${WEIGHTS_FILE} holds tensors that this encoder does not use: ${unused.join(", ")}.`];
}

/** Every number, once. Returns warnings. @throws DictionaryFault with every fault */
export function checkValues(
  atoms: Float32Array,
  center: Float32Array | null,
  { d, m }: { readonly d: number; readonly m: number },
): string[] {
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
  if (zero.length > 0) {
    const shown = zero.slice(0, NAMED).join(", ");
    faults.push(
      `${WEIGHTS_FILE}: ${zero.length} atoms are zero (${shown}${zero.length > NAMED ? ", …" : ""}); remove them.`,
    );
  }
  const bad = center?.findIndex((value) => !Number.isFinite(value)) ?? -1;
  if (bad >= 0) faults.push(`${WEIGHTS_FILE}: center, column ${bad} is ${center![bad]}; every weight must be finite.`);
  if (faults.length > 0) throw new DictionaryFault(faults);
  if (largest < 2) return [];
  const squared = largest.toPrecision(4);
  return [
    `The largest squared atom norm is ${squared}; from 2 on, a step can lengthen the residual and the pursuit can diverge.`,
  ];
}

/** Of a file, hex. */
export async function sha256Of(path: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path, { highWaterMark: 1 << 20 }), hash);
  return hash.digest("hex");
}
