import { atomNorms, type Atoms, type OrthogonalWeights, type PursuitWeights } from "../../core/dictionary-weights.ts";
import type { CoherenceFigures, PursuitChoice, RuntimeChoice } from "../../core/dictionary.ts";
import type { EncodeBatch } from "../../core/encode-batch.ts";
import type { SparseCodes } from "../../core/sparse-codes.ts";
import type { EncoderSession, Progress } from "../process/encoder-session.ts";
import { type Arena, createArena, scatterIntoShards } from "../kernel/arena.ts";
import { LANES, type LoopThreads, startPursuitThreads } from "../kernel/loop-threads.ts";
import { createPrefetchTrial, type PairedTrial } from "../kernel/prefetch-trial.ts";
import { compilePursuitKernel } from "../kernel/pursuit-kernel.ts";
import { createRowJob, RUNNING, type RowJob, NEEDS_REFRESH } from "../kernel/row-job.ts";
import { AtomSession } from "./atom-session.ts";
import { Coherence, freeMemory, GramBuild } from "../gram/gram.ts";
import { codesOfJobs } from "./codes-of-jobs.ts";
import { DensePass } from "../onnx/dense-pass.ts";
import type { OnnxSessionOptions } from "../onnx/onnx-session.ts";
import { createColumns, type RowColumns } from "./prepare-rows.ts";
import { SlotRows } from "./slot-rows.ts";

/** Rows worked on at once: each pass reads all atoms, from memory by then, and their correlations should stay in cache. */
const SLOTS = 256;

/** Bytes of correlations at most. */
const CORRELATION_BYTES = 1 << 24;

/** And at least so many rows, however many atoms. */
const LEAST_SLOTS = 8;

/** Selections that the rows worked on at once may make in all: bounds the memory of a job. */
const JOB_SELECTIONS = 1 << 21;

/**
 * Operations of the Gram matrix, 2·m²·d, up to which it is made at once: a tenth of a second on all cores, which nobody has
 * leased. The shipped dictionary's is one of those.
 */
const QUICK_GRAM = 2e10;

/** Rows placed before the other threads hear of them. */
const PLACED_AT_ONCE = 4;

const NO_ROWS = new Float32Array(0);

export interface FusedSessionOptions extends OnnxSessionOptions {
  /** Whether to update correlations by the Gram matrix; without it a row's are taken anew for every selection. */
  readonly gram: boolean;
  /** Operations of a matrix that is made at once; unless given, few enough not to hold up other dictionaries. */
  readonly quickGram?: number;
  /** Maximum bytes of one kernel memory (arena.ts). */
  readonly memoryLimit?: number;
  /** Whether to prefetch Gram rows and atoms; a trial decides if not given (prefetch-trial.ts). */
  readonly prefetch?: boolean;
}

/**
 * Matching pursuit on CPU: one matrix product of ONNX Runtime, then every step fused into one pass over a row's
 * correlations by the kernel (kernel/row-loop.ts). Until the Gram matrix stands, and where it may not be built, a step
 * takes its correlations from a matrix product over all rows that still go on.
 */
export class FusedSession extends AtomSession<PursuitWeights | OrthogonalWeights> implements EncoderSession {
  readonly #dense: DensePass;
  readonly #arena: Arena;
  readonly #rows: SlotRows;
  readonly #threads: LoopThreads<RowJob>;
  readonly #gram: GramBuild | null;
  readonly #prefetching: PairedTrial | boolean;
  readonly #figures: CoherenceFigures;

  private constructor(
    weights: PursuitWeights | OrthogonalWeights,
    norms: Float64Array,
    dense: DensePass,
    arena: Arena,
    rows: SlotRows,
    threads: LoopThreads<RowJob>,
    gram: GramBuild | null,
    prefetching: PairedTrial | boolean,
    threadCount: number,
  ) {
    super(weights, norms, threadCount);
    this.#dense = dense;
    this.#arena = arena;
    this.#rows = rows;
    this.#threads = threads;
    this.#gram = gram;
    this.#prefetching = prefetching;
    this.#figures = new Coherence(norms).figures(false);
  }

  static async create(given: PursuitWeights | OrthogonalWeights, options: FusedSessionOptions): Promise<FusedSession> {
    const { d, m } = given;
    const { threads, gram, memoryLimit } = options;
    const slots = Math.max(LEAST_SLOTS, Math.min(SLOTS, Math.floor(CORRELATION_BYTES / (4 * m))));
    const arena = createArena({ d, m, lanes: LANES * threads, slots, gram, ...(memoryLimit && { memoryLimit }) });
    // Nothing here may point into the file as it was read: it would stay, and is as large as the dictionary.
    const weights = { ...given, atoms: placeAtoms(given, arena), center: given.center?.slice() ?? null };
    const norms = atomNorms(weights);
    const gain = Float32Array.from(norms, (norm) => 2 - norm ** 2);
    const dense = await DensePass.create(given, options);
    const module = compilePursuitKernel();
    const rows = new SlotRows(module, arena, weights);
    const loop = await startPursuitThreads({ module, arena, gain }, threads);
    const build = gram ? new GramBuild({ weights, arena, dense }) : null;
    const prefetching = gram && (options.prefetch ?? createPrefetchTrial(module, arena));
    const session = new FusedSession(weights, norms, dense, arena, rows, loop, build, prefetching, threads);
    session.#padCorrelations();
    session.#placeScales();
    if (2 * m * m * d <= (options.quickGram ?? QUICK_GRAM)) while ((await session.buildGramStep()).more);
    return session;
  }

  get chosen(): RuntimeChoice {
    return { runtime: "cpu", path: this.#hasGram() ? "fused" : "fused_residual" };
  }

  get coherence(): CoherenceFigures {
    return this.#gram?.coherence ?? this.#figures;
  }

  async encode(batch: EncodeBatch): Promise<SparseCodes> {
    const columns = createColumns(batch.count, this.weights.settings);
    const { d } = this.weights;
    const scaled = batch.reconstruction ? new Float32Array(columns.count * d) : NO_ROWS;
    const deepest = batch.budgets.maxAtoms.reduce((most, atoms) => Math.max(most, atoms), 1);
    const most = Math.max(2, Math.min(this.#arena.shape.slots, Math.floor(JOB_SELECTIONS / deepest)));
    const parts = chunks(columns.count, most);
    const jobs: RowJob[] = [];
    const makeNext = (): void => {
      const part = parts[jobs.length];
      if (part !== undefined) jobs.push(this.#makeJob(batch, columns, part, this.#arena.rows[jobs.length % 2]!));
    };
    makeNext();
    for (const [k, [from]] of parts.entries()) {
      const job = jobs[k]!;
      const x = this.#rows.scaled(job.rows, job.count);
      if (batch.reconstruction) scaled.set(x, from * d);
      await this.#pursue(job, x, batch.budgets.group.subarray(from), makeNext);
    }
    return codesOfJobs(jobs, { ...columns, scaled }, batch, this.weights);
  }

  async buildGramStep(): Promise<Progress> {
    if (this.#gram === null) return { more: false };
    const progress = await this.#gram.step();
    if (progress.more || typeof this.#prefetching === "boolean") return progress;
    return { ...progress, more: this.#prefetching.step() };
  }

  override async release(): Promise<void> {
    await super.release();
    await this.#threads.close();
    await this.#dense.release();
  }

  get #prefetches(): boolean {
    if (!this.#hasGram()) return false;
    return typeof this.#prefetching === "boolean" ? this.#prefetching : this.#prefetching.ratio < 1;
  }

  #hasGram = (): boolean => this.#gram?.complete ?? false;

  /** A job over rows [from, from + count) of a batch, which are placed in a set of the arena's. */
  #makeJob(batch: EncodeBatch, columns: RowColumns, [from, count]: [number, number], set: number): RowJob {
    this.#rows.place(batch, columns, [from, from + count], set);
    return createRowJob(columns, from, count, {
      rows: set,
      residualWidth: batch.reconstruction ? this.weights.d : 0,
      prefetch: this.#prefetches,
      traced: batch.trace,
      gram: this.#hasGram(),
      pursuit: batch.pursuit ?? ownPursuit(this.weights),
    });
  }

  /**
   * Every row of a job to its end.
   * @param x [count, d] scaled
   * @param groups [≥ count] atoms that each row may select, from the first on; 0: all, −1: none
   * @param meanwhile what this thread is to do once while the others work on the rows
   */
  async #pursue(job: RowJob, x: Float32Array, groups: Int32Array, meanwhile: () => void): Promise<void> {
    const { gram } = job;
    // With the matrix a residual is only written when it is needed.
    if (!gram) this.#rows.beginResiduals(job.rows, job.count);
    let waiting = Array.from({ length: job.count }, (_, i) => i);
    let r = x;
    while (waiting.length > 0) {
      const products = await this.#dense.run(r);
      // Without the matrix each row makes one step only: not worth waking a thread.
      this.#threads.run(job, gram, (ready) => {
        this.#placeCorrelations(waiting, products, groups, ready);
        ready(job.count);
        if (r === x) meanwhile();
      });
      freeMemory(products);
      waiting = waiting.filter((i) => job.stops[i] === NEEDS_REFRESH);
      for (const i of waiting) job.stops[i] = RUNNING;
      r = this.#rows.residuals(waiting);
    }
  }

  /**
   * @param slots ascending
   * @param products [slots.length, m] correlations of the rows in these slots
   */
  #placeCorrelations(
    slots: readonly number[],
    products: Float32Array,
    groups: Int32Array,
    ready: (count: number) => void,
  ): void {
    const { m } = this.weights;
    for (const [k, slot] of slots.entries()) {
      const row = products.subarray(k * m, (k + 1) * m);
      // NaN never wins, and stays NaN whatever is subtracted from it. A row of padding has no group.
      const group = groups[slot] ?? 0;
      if (group !== 0) row.fill(Number.NaN, Math.max(0, group));
      scatterIntoShards(this.#arena, row, (shard) => shard.correlations + 4 * shard.width * slot);
      if (k % PLACED_AT_ONCE === PLACED_AT_ONCE - 1) ready(slot + 1);
    }
  }

  /** Orthogonal pursuit divides scores by the atoms' norms, unless its settings say otherwise. */
  #placeScales(): void {
    const { kind, settings } = this.weights;
    const raw = kind === "orthogonal_matching_pursuit" && settings.rawScores;
    // A zero atom scores 0, and so never wins.
    const scales = Float32Array.from(this.norms, (norm) => (raw ? 1 : norm === 0 ? 0 : 1 / norm));
    scatterIntoShards(this.#arena, scales, (shard) => shard.scales);
  }

  /** What stands beyond the last atom must never win. */
  #padCorrelations(): void {
    const { slots } = this.#arena.shape;
    for (const { memory, correlations, width, count } of this.#arena.shards) {
      const floats = new Float32Array(memory.buffer);
      for (let i = 0; i < slots; i++) {
        const row = correlations / 4 + width * i;
        floats.fill(Number.NaN, row + count, row + width);
      }
    }
  }
}

/** How rows are encoded where the batch does not say. */
const ownPursuit = ({ kind, settings }: PursuitWeights | OrthogonalWeights): PursuitChoice =>
  kind === "matching_pursuit"
    ? { kind, score: settings.score, reselect: settings.reselect }
    : { kind: "orthogonal", score: settings.score };

/** The atoms in the arena; where the rows there are no wider than d, that copy serves for everything else as well. */
function placeAtoms({ atoms, m, d }: Atoms, arena: Arena): Float32Array {
  const placed = new Float32Array(arena.shards[0]!.memory.buffer, arena.atoms, m * arena.rowWidth);
  if (arena.rowWidth === d) {
    placed.set(atoms);
    return placed;
  }
  for (let j = 0; j < m; j++) placed.set(atoms.subarray(j * d, (j + 1) * d), j * arena.rowWidth);
  return atoms;
}

/** [from, count] of parts as even as can be: none is a single row unless all is one. */
function chunks(count: number, most: number): [number, number][] {
  const parts = Math.ceil(count / most);
  const bounds = Array.from({ length: parts + 1 }, (_, i) => Math.round((i * count) / parts));
  return Array.from({ length: parts }, (_, i) => [bounds[i]!, bounds[i + 1]! - bounds[i]!]);
}
