import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { readExamples } from "../../src/engine/dictionaries/examples.ts";
import { encodeSafetensors } from "../../src/engine/dictionaries/formats/safetensors.ts";
import { readManifest } from "../../src/engine/dictionaries/manifest.ts";
import { loadWeights } from "../../src/engine/dictionaries/weights.ts";
import { isPursuit, type PursuitWeights } from "../../src/engine/core/dictionary-weights.ts";
import { random, randomAtoms } from "../../test/support/seeded.ts";

export interface Shape {
  readonly d: number;
  readonly m: number;
  readonly steps: number;
  /** Times faster than the fastest baseline that is aimed at; null: nothing. */
  readonly goal: number | null;
  /** Folder under models/; without it the dictionary is made from a seed. */
  readonly model?: string;
}

export const SHAPES: readonly Shape[] = [
  { d: 384, m: 4096, steps: 16, goal: 10, model: "minilm-wordnet-mp" },
  { d: 768, m: 4096, steps: 25, goal: 13 },
  { d: 768, m: 24576, steps: 32, goal: 16 },
  { d: 2304, m: 16384, steps: 64, goal: 30 },
  { d: 2304, m: 32768, steps: 85, goal: 30 },
];

/** Shapes by their numbers, counted from 1; not given: all, or the first two. @throws Error for one that is not there */
export function chosenShapes(list: string | undefined, quick: boolean): readonly Shape[] {
  if (list === undefined) return quick ? SHAPES.slice(0, 2) : SHAPES;
  return list.split(",").map((n) => {
    const shape = SHAPES[Number(n) - 1];
    if (!shape) throw new Error(`--shapes ${n}: there are ${SHAPES.length}, counted from 1`);
    return shape;
  });
}

export interface Workload {
  readonly weights: PursuitWeights;
  /** [count, d] */
  readonly rows: Float32Array;
  /** Where the rows come from, as the output says it. */
  readonly origin: string;
}

/** A dictionary and `count` rows for it. */
export async function workload(shape: Shape, count: number): Promise<Workload> {
  return shape.model === undefined ? seeded(shape, count) : shipped(shape.model, count);
}

async function shipped(model: string, count: number): Promise<Workload> {
  const folder = fileURLToPath(new URL(`../../models/${model}`, import.meta.url));
  const { weights } = await loadWeights(folder, await readManifest(folder));
  const examples = await readExamples(folder, weights.d);
  if (!isPursuit(weights) || !examples) throw new Error(`models/${model} has no pursuit or no examples`);
  const { rows } = examples;
  const real = rows.length / weights.d;
  return {
    weights,
    rows: Float32Array.from({ length: count * weights.d }, (_, i) => rows[i % rows.length]!),
    origin: `rows: ${real} held-out examples of models/${model}${count > real ? ", repeated" : ""}`,
  };
}

/** Unit atoms; rows as sums of `steps` of them with falling coefficients, and noise, so that hardly a step is a tie. */
export function seeded({ d, m, steps }: Pick<Shape, "d" | "m" | "steps">, count: number): Workload {
  const atoms = randomAtoms(m, d, 1);
  const { integer, normal } = random(2);
  const rows = new Float32Array(count * d);
  for (let i = 0; i < count; i++) {
    for (let k = 0; k < steps; k++) {
      const from = integer(m) * d;
      const coefficient = 0.95 ** k * (1 + 0.1 * normal());
      for (let c = 0; c < d; c++) rows[i * d + c]! += coefficient * atoms[from + c]!;
    }
    for (let c = 0; c < d; c++) rows[i * d + c]! += (0.1 * normal()) / Math.sqrt(d);
  }
  const settings = {
    score: "relu",
    reselect: "add",
    center: false,
    residualThreshold: 0,
    maxAtoms: null,
    inputNorm: "none",
  } as const;
  return {
    weights: { kind: "matching_pursuit", d, m, atoms, center: null, settings },
    rows,
    origin: `dictionary and rows made from a seed: unit atoms, sums of ${steps} of them with noise`,
  };
}

/** Dictionary and rows as tools/baselines/baselines.py takes them, the rows centred: neither's centre is ours to define. */
export async function writeForBaselines(folder: string, weights: PursuitWeights, rows: Float32Array): Promise<string> {
  const { atoms, center, d, m } = weights;
  const centred = center ? Float32Array.from(rows, (x, i) => x - center[i % d]!) : rows;
  const file = join(folder, `${d}x${m}.safetensors`);
  const count = rows.length / d;
  await writeFile(
    file,
    encodeSafetensors({ atoms: { shape: [m, d], data: atoms }, rows: { shape: [count, d], data: centred } }),
  );
  return file;
}
