import { atomNorms } from "../../core/atom-norms.ts";
import type { Atoms } from "../../core/dictionary-weights.ts";
import type { CoherenceFigures } from "../../core/dictionary.ts";
import type { Progress } from "../process/encoder-session.ts";
import { type Arena, scatterIntoShards } from "../kernel/arena.ts";
import { Coherence } from "./coherence.ts";
import type { DensePass } from "../onnx/dense-pass.ts";
import { freeMemory } from "./free-memory.ts";
import { type GramCache, type GramReader, type GramWriter } from "./gram-cache.ts";

/** Milliseconds that a piece should compute for: whoever asks for rows meanwhile waits for half of it on average. */
const PIECE = 10;

/** Rows of the first piece that is computed, and of any: fewer, and reading all atoms would take longer than multiplying. */
const LEAST_ROWS = 8;

/** How many times the rows of one piece the next may have: the first one also pays for what the runtime sets up. */
const GROWTH = 4;

/** Bytes of one piece that is read or written. */
const BLOCK_BYTES = 1 << 24;

/** Milliseconds that computing must have taken, unless said otherwise, for the file to be worth its room. */
const WORTH_KEEPING = 5_000;

/** What a build is doing, and how far it is. */
type Phase =
  | { readonly name: "reading"; readonly reader: GramReader }
  | { readonly name: "computing" }
  | { readonly name: "writing"; readonly writer: GramWriter }
  | { readonly name: "done" };

export interface GramBuildOptions {
  readonly weights: Pick<Atoms, "atoms" | "m" | "d">;
  readonly arena: Arena;
  readonly dense: Pick<DensePass, "run">;
  /** Where a matrix that took long is kept; null: nowhere. */
  readonly cache: GramCache | null;
  /** Milliseconds of computing from which it is kept. */
  readonly worthKeeping?: number;
  /** Monotonic milliseconds. */
  readonly now?: () => number;
}

/**
 * G = D·Dᵀ [m, m] into the arena, piece by piece, so that requests are served in between: read from the cache where it
 * has it, else computed by the runtime's matrix product, and then kept if that took long.
 */
export class GramBuild {
  readonly #options: GramBuildOptions;
  readonly #norms: Float64Array;
  #coherence: Coherence;
  #phase: Phase | null = null;
  /** Rows that the phase is done with. */
  #rows = 0;
  #complete = false;
  /** Rows of the next piece that is computed. */
  #height = LEAST_ROWS;
  /** Milliseconds so far. */
  #computing = 0;
  #quarters = 0;

  constructor(options: GramBuildOptions) {
    this.#options = options;
    this.#norms = atomNorms(options.weights);
    this.#coherence = new Coherence(this.#norms);
  }

  /** Whether the whole matrix stands in the arena. */
  get complete(): boolean {
    return this.#complete;
  }

  get coherence(): CoherenceFigures {
    return this.#coherence.figures(this.#complete);
  }

  /** One piece of the work. The first looks for what is kept. */
  async step(): Promise<Progress> {
    if (this.#phase === null) {
      this.#phase = await this.#begin();
      return { next: this.#phase.name === "reading" ? "disk" : "threads" };
    }
    switch (this.#phase.name) {
      case "reading":
        return this.#read(this.#phase.reader);
      case "computing":
        return this.#compute();
      case "writing":
        return this.#write(this.#phase.writer);
      case "done":
        return { next: null };
    }
  }

  /** Leaves no file half written. */
  async stop(): Promise<void> {
    if (this.#phase?.name === "reading") await this.#phase.reader.close();
    if (this.#phase?.name === "writing") await this.#phase.writer.discard();
    this.#phase = { name: "done" };
  }

  async #begin(): Promise<Phase> {
    const reader = await this.#options.cache?.open(this.#options.weights.m);
    return reader ? { name: "reading", reader } : { name: "computing" };
  }

  async #read(reader: GramReader): Promise<Progress> {
    const { m } = this.#options.weights;
    const count = Math.min(m - this.#rows, Math.max(1, Math.floor(BLOCK_BYTES / (4 * m))));
    try {
      this.#place(await reader.read(count), count);
      if (this.#rows < m) return { next: "disk" };
      await reader.verify();
    } catch (error) {
      await reader.close();
      this.#rows = 0;
      this.#coherence = new Coherence(this.#norms);
      this.#phase = { name: "computing" };
      return { next: "threads", note: `The cached Gram matrix is not usable and is made anew: ${wordsOf(error)}.` };
    }
    await reader.close();
    this.#complete = true;
    this.#phase = { name: "done" };
    return { next: null, note: "The Gram matrix was read from the cache." };
  }

  async #compute(): Promise<Progress> {
    const { weights, dense, cache, worthKeeping = WORTH_KEEPING, now = monotonic } = this.#options;
    const { atoms, m, d } = weights;
    const started = now();
    const from = this.#rows;
    // Never a single row, which would round differently: see DensePass.
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
    if (to < m) return { next: "threads", ...this.#quarterNote() };
    this.#complete = true;
    this.#phase = { name: "done" };
    if (this.#computing < worthKeeping) return { next: null };
    const seconds = (this.#computing / 1000).toFixed(1);
    const note = `The Gram matrix of ${m} atoms is complete: ${seconds} s of computing.`;
    if (cache === null) return { next: null, note };
    try {
      this.#phase = { name: "writing", writer: await cache.create(m) };
    } catch (error) {
      return { next: null, note: `${note} ${notKept(error)}` };
    }
    this.#rows = 0;
    return { next: "disk", note };
  }

  async #write(writer: GramWriter): Promise<Progress> {
    const { m } = this.#options.weights;
    const count = Math.min(m - this.#rows, Math.max(1, Math.floor(BLOCK_BYTES / (4 * m))));
    try {
      await writer.write(this.#rowsFromArena(this.#rows, count));
      this.#rows += count;
      if (this.#rows < m) return { next: "disk" };
      await writer.finish();
    } catch (error) {
      await writer.discard();
      this.#phase = { name: "done" };
      return { next: null, note: notKept(error) };
    }
    this.#phase = { name: "done" };
    return { next: null };
  }

  /** @param products [≥ count, m] rows of the matrix, the next in order */
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

  #rowsFromArena(from: number, count: number): Float32Array {
    const { arena, weights } = this.#options;
    const rows = new Float32Array(count * weights.m);
    for (const shard of arena.shards) {
      const floats = new Float32Array(shard.memory.buffer);
      for (let k = 0; k < count; k++) {
        const at = shard.gram / 4 + shard.width * (from + k);
        rows.set(floats.subarray(at, at + shard.count), k * weights.m + shard.from);
      }
    }
    return rows;
  }

  /** A line at every quarter of a long computation. */
  #quarterNote(): { note?: string } {
    const { m } = this.#options.weights;
    const quarter = Math.floor((4 * this.#rows) / m);
    if (quarter === this.#quarters || this.#computing < 1_000) return {};
    this.#quarters = quarter;
    return { note: `The Gram matrix is being made: ${Math.round((100 * this.#rows) / m)} %.` };
  }
}

const monotonic = (): number => performance.now();

const notKept = (error: unknown): string => `It could not be kept for the next start: ${wordsOf(error)}.`;

const wordsOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
