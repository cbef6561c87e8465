/** Inputs of the fixtures, bit for bit as in tools/fixtures/seeded.py; the fixtures hold only results. */
import { readFileSync } from "node:fs";
import type { PursuitSettings } from "../../src/engine/core/dictionary.ts";
import type { PursuitWeights } from "../../src/engine/core/dictionary-weights.ts";
import { SafetensorsFile } from "../../src/engine/dictionaries/formats/safetensors.ts";
import { sample } from "./full.ts";

export interface FixtureCase {
  readonly name: string;
  readonly d: number;
  readonly m: number;
  readonly score: PursuitSettings["score"];
  readonly reselect: PursuitSettings["reselect"];
  readonly residual_threshold: number;
  readonly input_norm: PursuitSettings["inputNorm"];
  readonly steps: number;
  /** For orthogonal pursuits: whether scores are divided by the atoms' norms, and a limit that ends rows. */
  readonly raw_scores?: boolean;
  readonly residual_norm?: number;
  readonly atoms:
    | { readonly kind: "random"; readonly seed: number; readonly norms: readonly [number, number] }
    | { readonly kind: "axes"; readonly axes: readonly number[]; readonly lengths: readonly number[] }
    | { readonly kind: "shipped"; readonly id: string };
  readonly rows:
    | { readonly kind: "noise"; readonly seed: number; readonly powers: readonly number[] }
    | { readonly kind: "planted"; readonly seed: number; readonly count: number; readonly k: number }
    | { readonly kind: "given"; readonly rows: readonly (readonly number[])[] }
    | { readonly kind: "shipped"; readonly id: string };
  readonly center: null | { readonly seed: number } | { readonly id: string };
  readonly checksums: { readonly atoms: number; readonly rows: number; readonly center: number };
  readonly results: readonly {
    readonly indices: readonly number[];
    readonly values: readonly number[];
    readonly residualNorm: number;
    readonly stop: string;
  }[];
}

export interface Fixture {
  /** Package and version of the reference. */
  readonly reference: string;
  readonly cases: readonly FixtureCase[];
}

export function readFixture(name: string): Fixture {
  return JSON.parse(readFileSync(new URL(`../fixtures/${name}.json`, import.meta.url), "utf8")) as Fixture;
}

/** Returns the dictionary and rows of a case. @throws Error when they differ from the reference's inputs */
export async function inputsOf(fixture: FixtureCase): Promise<{ weights: PursuitWeights; rows: Float32Array }> {
  const { d, m, score, reselect, residual_threshold: residualThreshold, input_norm: inputNorm, checksums } = fixture;
  const atoms = await makeAtoms(fixture);
  const rows = await makeRows(fixture, atoms);
  const center = await makeCenter(fixture);
  for (const [name, array] of Object.entries({ atoms, rows, center: center ?? new Float32Array(d) })) {
    if (checksum(array) !== checksums[name as keyof typeof checksums])
      throw new Error(`${fixture.name}: ${name} differ from the reference's`);
  }
  const settings = { score, reselect, center: center !== null, residualThreshold, maxAtoms: null, inputNorm };
  return { weights: { kind: "matching_pursuit", d, m, atoms, center, settings }, rows };
}

/** Rows of a case in a quick run; one if they are deep, because the oracle takes seconds a row. */
const SAMPLED = 2;
const DEEP_STEPS = 400;

/** Inputs of a case with the reference's results; only a few rows in a quick run. */
export async function sampledInputsOf(fixture: FixtureCase) {
  const { weights, rows } = await inputsOf(fixture);
  const { d, steps, results } = fixture;
  const chosen = sample([...results.keys()], steps === DEEP_STEPS ? 1 : SAMPLED);
  const taken = new Float32Array(chosen.length * d);
  for (const [i, row] of chosen.entries()) taken.set(rows.subarray(row * d, (row + 1) * d), i * d);
  return { weights, rows: taken, results: chosen.map((row) => results[row]!) };
}

/** Elements of mulberry32 as a function of its counter, in [0, 1). */
function uniform(count: number, seed: number): Float64Array {
  return Float64Array.from({ length: count }, (_, i) => {
    const state = (seed + Math.imul(i + 1, 0x6d2b79f5)) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  });
}

async function makeAtoms({ atoms: spec, m, d }: FixtureCase): Promise<Float32Array> {
  if (spec.kind === "shipped") return shipped(spec.id, "weights", "atoms");
  const atoms = new Float32Array(m * d);
  if (spec.kind === "axes") {
    for (let j = 0; j < m; j++) atoms[j * d + spec.axes[j]!] = spec.lengths[j]!;
    return atoms;
  }
  const [low, high] = spec.norms;
  const draws = uniform(m, spec.seed + 1);
  const values = uniform(m * d, spec.seed).map((value) => value * 2 - 1);
  for (let j = 0; j < m; j++) {
    let squares = 0;
    for (let c = j * d; c < (j + 1) * d; c++) squares += values[c]! * values[c]!;
    const scale = (low + (high - low) * draws[j]!) / Math.sqrt(squares);
    for (let c = j * d; c < (j + 1) * d; c++) atoms[c] = values[c]! * scale;
  }
  return atoms;
}

async function makeRows({ rows: spec, m, d }: FixtureCase, atoms: Float32Array): Promise<Float32Array> {
  if (spec.kind === "shipped") return shipped(spec.id, "examples", "rows");
  if (spec.kind === "given") return Float32Array.from(spec.rows.flat());
  if (spec.kind === "noise") {
    const values = uniform(spec.powers.length * d, spec.seed);
    return Float32Array.from(values, (value, at) => (value * 2 - 1) * 2 ** spec.powers[Math.floor(at / d)]!);
  }
  const draws = uniform(spec.count * spec.k * 2, spec.seed);
  const rows = new Float64Array(spec.count * d);
  for (let i = 0; i < spec.count; i++) {
    for (let k = 0; k < spec.k; k++) {
      const at = (i * spec.k + k) * 2;
      const j = Math.floor(draws[at]! * m);
      const strength = 0.2 + draws[at + 1]!;
      for (let c = 0; c < d; c++) rows[i * d + c]! += strength * atoms[j * d + c]!;
    }
  }
  return Float32Array.from(rows);
}

async function makeCenter({ center: spec, d }: FixtureCase): Promise<Float32Array | null> {
  if (spec === null) return null;
  if ("id" in spec) return shipped(spec.id, "weights", "center");
  return Float32Array.from(uniform(d, spec.seed), (value) => value - 0.5);
}

async function shipped(id: string, file: "weights" | "examples", tensor: string): Promise<Float32Array> {
  const path = new URL(`../../models/${id}/${file}.safetensors`, import.meta.url);
  const opened = await SafetensorsFile.open(path.pathname);
  try {
    return await opened.readFloats(tensor);
  } finally {
    await opened.close();
  }
}

function checksum(array: Float32Array): number {
  let sum = 0;
  for (const bits of new Uint32Array(array.buffer, array.byteOffset, array.length)) sum = (sum + bits) >>> 0;
  return sum;
}
