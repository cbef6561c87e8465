import { atomNorms } from "../../core/atom-norms.ts";
import type { Atoms } from "../../core/dictionary-weights.ts";
import type { CoherenceFigures } from "../../core/dictionary.ts";
import type { Progress } from "../process/encoder-session.ts";
import { type Arena, scatterIntoShards } from "../kernel/arena.ts";
import { Coherence } from "./coherence.ts";
import type { DensePass } from "../onnx/dense-pass.ts";
import { freeMemory } from "./free-memory.ts";

/** Target milliseconds of one block. A request that arrives meanwhile waits for half of it on average. */
const PIECE = 10;

/** Fewest rows of a block, and rows of the first one: with fewer, reading all atoms takes longer than multiplying. */
const LEAST_ROWS = 8;

/** Largest growth from one block to the next: the first also pays for the runtime's set-up. */
const GROWTH = 4;

/** Milliseconds of computing after which progress is logged. */
const WORTH_TELLING = 1_000;

export interface GramBuildOptions {
  readonly weights: Pick<Atoms, "atoms" | "m" | "d">;
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
