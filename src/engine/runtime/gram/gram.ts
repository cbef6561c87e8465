import type { CoherenceFigures, Neighbour } from "../../core/dictionary.ts";
import { atomNorms, type Atoms } from "../../core/dictionary-weights.ts";
import { DensePass } from "../onnx/dense-pass.ts";
import type { OnnxSessionOptions } from "../onnx/onnx-session.ts";
import type { Progress } from "../process/encoder-session.ts";
import { type Arena, scatterIntoShards } from "../kernel/arena.ts";
import { MessageChannel } from "node:worker_threads";

type Matrix = Pick<Atoms, "atoms" | "m" | "d">;

/** Floats of one block of the product: 64 MiB. */
const BLOCK = 1 << 24;

/** G = D·Dᵀ [m, m], computed by the runtime in blocks of rows. */
export async function gramMatrix(weights: Matrix, options: OnnxSessionOptions): Promise<Float32Array> {
  const { atoms, m, d } = weights;
  const dense = await DensePass.create(weights, options);
  try {
    const gram = new Float32Array(m * m);
    const height = Math.max(1, Math.floor(BLOCK / m));
    for (let from = 0; from < m; from += height) {
      const products = await dense.run(atoms.subarray(from * d, Math.min(from + height, m) * d));
      gram.set(products, from * m);
      freeMemory(products);
    }
    return gram;
  } finally {
    await dense.release();
  }
}

export function coherenceOf(norms: Float64Array, gram: Float32Array | null): CoherenceFigures {
  const m = norms.length;
  const coherence = new Coherence(norms);
  if (gram !== null) for (let i = 0; i < m; i++) coherence.add(i, gram.subarray(i * m, (i + 1) * m));
  return coherence.figures(gram !== null);
}

/**
 * Returns the `count` atoms of largest cosine with a vector [d]; ties go to the lower index. Zero vectors and zero atoms
 * have no direction: they have no neighbours and are none.
 * @param without an atom to leave out
 */
export function nearestAtoms(
  { atoms, m, d }: Matrix,
  norms: Float64Array,
  vector: Float32Array | Float64Array,
  count: number,
  without = -1,
): Neighbour[] {
  let squares = 0;
  for (let c = 0; c < d; c++) squares += vector[c]! * vector[c]!;
  const length = Math.sqrt(squares);
  const all: Neighbour[] = [];
  for (let j = 0; j < m; j++) {
    if (j === without || length === 0 || norms[j] === 0) continue;
    let product = 0;
    for (let c = 0, at = j * d; c < d; c++, at++) product += vector[c]! * atoms[at]!;
    all.push({ index: j, cosine: product / (length * norms[j]!) });
  }
  return all.sort((a, b) => b.cosine - a.cosine || a.index - b.index).slice(0, count);
}

/** Target milliseconds of one block. A request that arrives meanwhile waits for half of it on average. */
const PIECE = 10;

/** Fewest rows of a block, and rows of the first one: with fewer, reading all atoms takes longer than multiplying. */
const LEAST_ROWS = 8;

/** Largest growth from one block to the next: the first also pays for the runtime's set-up. */
const GROWTH = 4;

/** Milliseconds of computing after which progress is logged. */
const WORTH_TELLING = 1_000;

interface GramBuildOptions {
  readonly weights: Matrix;
  readonly arena: Arena;
  readonly dense: Pick<DensePass, "run">;
  /** Monotonic milliseconds. */
  readonly now?: () => number;
}

/**
 * Writes G = D·Dᵀ [m, m] into the arena in blocks of about 10 ms, so that requests are served in between. Each block is
 * one matrix product of the runtime.
 */
export class GramBuild {
  readonly #options: GramBuildOptions;
  readonly #norms: Float64Array;
  readonly #coherence: Coherence;
  /** Rows computed so far. */
  #rows = 0;
  /** Rows of the next block. */
  #height = LEAST_ROWS;
  /** Milliseconds spent so far. */
  #computing = 0;
  #quarters = 0;

  constructor(options: GramBuildOptions) {
    this.#options = options;
    this.#norms = atomNorms(options.weights);
    this.#coherence = new Coherence(this.#norms);
  }

  /** Whether the whole matrix is in the arena. */
  get complete(): boolean {
    return this.#rows === this.#options.weights.m;
  }

  get coherence(): CoherenceFigures {
    return this.#coherence.figures(this.complete);
  }

  /** Computes the next rows. */
  async step(): Promise<Progress> {
    const { weights, dense, now = monotonic } = this.#options;
    const { atoms, m, d } = weights;
    if (this.complete) return { more: false };
    const started = now();
    const from = this.#rows;
    // Never a single row: it would round differently (DensePass).
    const to = m - from <= this.#height + 1 ? m : from + this.#height;
    const block = new Float32Array(Math.max(2, to - from) * d);
    block.set(atoms.subarray(from * d, to * d));
    const products = await dense.run(block);
    this.#place(products, to - from);
    freeMemory(products);
    const taken = now() - started;
    this.#computing += taken;
    const fitting = Math.floor(((to - from) * PIECE) / taken);
    this.#height = Math.max(LEAST_ROWS, Math.min(GROWTH * this.#height, fitting));
    if (to < m) return { more: true, ...this.#quarterNote() };
    if (this.#computing < WORTH_TELLING) return { more: false };
    const seconds = (this.#computing / 1000).toFixed(1);
    return { more: false, note: `The Gram matrix of ${m} atoms is complete: ${seconds} s of computing.` };
  }

  /** @param products [≥ count, m] the next rows of the matrix, in order */
  #place(products: Float32Array, count: number): void {
    const { m } = this.#options.weights;
    for (let k = 0; k < count; k++) {
      const i = this.#rows + k;
      const row = products.subarray(k * m, (k + 1) * m);
      scatterIntoShards(this.#options.arena, row, (shard) => shard.gram + 4 * shard.width * i);
      this.#coherence.add(i, row);
    }
    this.#rows += count;
  }

  /** A log line at every quarter of a long computation. */
  #quarterNote(): { note?: string } {
    const { m } = this.#options.weights;
    const quarter = Math.floor((4 * this.#rows) / m);
    if (quarter === this.#quarters || this.#computing < WORTH_TELLING) return {};
    this.#quarters = quarter;
    return { note: `The Gram matrix is being made: ${Math.round((100 * this.#rows) / m)} %.` };
  }
}

const monotonic = (): number => performance.now();

/** Finds the largest |cosine| between two different atoms, from the rows of the Gram matrix as they are computed. */
export class Coherence {
  readonly #norms: Float64Array;
  /** [m] 1 / ||D_j||; 0 for a zero atom, which has no direction. */
  readonly #inverse: Float64Array;
  #largest = 0;

  /** @param norms [m] norms of the atoms */
  constructor(norms: Float64Array) {
    this.#norms = norms;
    this.#inverse = norms.map((norm) => (norm > 0 ? 1 / norm : 0));
  }

  /** Adds row i of the matrix, [m]. */
  add(i: number, row: Float32Array): void {
    const inverse = this.#inverse;
    let largest = 0;
    for (let j = i + 1; j < row.length; j++) {
      const share = Math.abs(row[j]!) * inverse[j]!;
      if (share > largest) largest = share;
    }
    this.#largest = Math.max(this.#largest, largest * inverse[i]!);
  }

  /** @param complete whether every row was added; otherwise the largest cosine is unknown */
  figures(complete: boolean): CoherenceFigures {
    return {
      maxCosine: complete && this.#norms.length > 1 ? Math.min(this.#largest, 1) : null,
      minNorm: this.#norms.reduce((least, norm) => Math.min(least, norm), Infinity),
      maxNorm: this.#norms.reduce((most, norm) => Math.max(most, norm), 0),
    };
  }
}

/** A port without a reader: whatever is posted to it is freed. */
const { port1: nowhere } = new MessageChannel();
nowhere.close();

/** Allocators keep smaller blocks themselves, so freeing them early saves nothing. */
const SMALL = 1 << 17;

/**
 * Frees a large array at once, before the garbage collector would, so that the allocator can reuse it. Fresh megabytes
 * are zeroed by the system page by page: for a small dictionary that took a third of the matrix product's time. The
 * array must not be used afterwards.
 */
export function freeMemory(array: Float32Array): void {
  if (array.buffer.byteLength < SMALL) return;
  nowhere.postMessage(null, [array.buffer as ArrayBuffer]);
}
