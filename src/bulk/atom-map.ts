import { UMAP } from "umap-js";
import { type Atoms, atomNorms } from "../engine/core/dictionary-weights.ts";

/** Atoms that the map is fitted to; the others are placed on it. */
const MOST_FITTED = 20_000;
/** Numbers that the library holds at once, as doubles. */
const MOST_NUMBERS = 1 << 25;
const NEIGHBOURS = 15;
/** Epochs between two reports. */
const REPORTED = 20;

export interface MapProgress {
  readonly done: number;
  readonly total: number;
}

/**
 * Places all atoms on a plane by UMAP over the cosine: near atoms come near each other. More than 20,000 atoms are placed on
 * the map of a sample of them.
 * @returns [m, 2]
 */
export async function mapAtoms(
  { atoms, m, d }: Pick<Atoms, "atoms" | "m" | "d">,
  onProgress: (progress: MapProgress) => void,
): Promise<Float32Array> {
  const norms = atomNorms({ atoms, m, d });
  const vector = (j: number): number[] =>
    Array.from(atoms.subarray(j * d, (j + 1) * d), (value) => value / (norms[j]! || 1));
  const fitted = Math.min(m, MOST_FITTED, Math.max(NEIGHBOURS + 1, Math.floor(MOST_NUMBERS / d)));
  const step = m / fitted;
  const sample = Array.from({ length: fitted }, (_, i) => Math.floor(i * step));
  const map = new Float32Array(2 * m);
  if (fitted < 4) return map;
  const umap = new UMAP({
    nNeighbors: Math.min(NEIGHBOURS, fitted - 1),
    minDist: 0.1,
    distanceFn: cosineDistance,
    random: seeded(1),
  });
  const epochs = umap.initializeFit(sample.map(vector));
  for (let epoch = 0; epoch < epochs; epoch++) {
    umap.step();
    if (epoch % REPORTED === 0) onProgress({ done: epoch, total: epochs });
  }
  for (const [i, [x, y]] of umap.getEmbedding().entries()) map.set([x!, y!], 2 * sample[i]!);
  const inSample = new Set(sample);
  const others = Array.from({ length: m }, (_, j) => j).filter((j) => !inSample.has(j));
  for (let from = 0; from < others.length; from += 1000) {
    const part = others.slice(from, from + 1000);
    for (const [i, [x, y]] of umap.transform(part.map(vector)).entries()) map.set([x!, y!], 2 * part[i]!);
    onProgress({ done: from, total: others.length });
  }
  return map;
}

function cosineDistance(a: number[], b: number[]): number {
  let product = 0;
  for (let i = 0; i < a.length; i++) product += a[i]! * b[i]!;
  return 1 - product;
}

/** Random numbers in [0, 1) from a seed (mulberry32), so that a map is the same whenever it is made. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let hash = Math.imul(state ^ (state >>> 15), 1 | state);
    hash = (hash + Math.imul(hash ^ (hash >>> 7), 61 | hash)) ^ hash;
    return ((hash ^ (hash >>> 14)) >>> 0) / 2 ** 32;
  };
}
