import { atomNorms } from "../../atom-norms.ts";
import { type OrthogonalScore, orthogonalSettings } from "../../dictionary.ts";
import type { Atoms, OrthogonalWeights, PursuitWeights } from "../../dictionary-weights.ts";
import type { EncodeBatch } from "../../encode-batch.ts";
import type { CoherenceFigures, RuntimeChoice } from "../../engine.ts";
import type { SparseCodes } from "../../sparse-codes.ts";
import type { EncoderSession, Progress } from "../encoder-session.ts";
import { type Arena, createArena, scatterIntoShards } from "../kernel/arena.ts";
import { LANES, LoopThreads } from "../kernel/loop-threads.ts";
import { compilePursuitKernel } from "../kernel/pursuit-kernel.ts";
import type { RowLoopOptions } from "../kernel/row-loop.ts";
import { createRowJob, GOES_ON, type RowJob, WAITS } from "../kernel/row-job.ts";
import { AtomSession } from "./atom-session.ts";
import { Coherence } from "./coherence.ts";
import { codesOfJobs } from "./codes-of-jobs.ts";
import { DensePass } from "./dense-pass.ts";
import { GramBuild } from "./gram-build.ts";
import type { GramCache } from "./gram-cache.ts";
import type { OnnxSessionOptions } from "./onnx-session.ts";
import { prepareRows } from "./prepare-rows.ts";

/** Rows worked on at once: enough for an efficient matrix product, few enough that their correlations stay in cache. */
const SLOTS = 128;

/** Bytes of correlations at most. */
const CORRELATION_BYTES = 1 << 24;

/** And at least so many rows, however many atoms. */
const LEAST_SLOTS = 8;

/** Selections that the rows worked on at once may make in all: bounds the memory of a job. */
const JOB_SELECTIONS = 1 << 21;

/** Operations of the Gram matrix, 2·m²·d, up to which it is made before the first request: about a second. */
const QUICK_GRAM = 2e11;

export interface FusedSessionOptions extends OnnxSessionOptions {
  /** Whether to update correlations by the Gram matrix; without it a row's are taken anew for every selection. */
  readonly gram: boolean;
  /** Bytes of one memory of the kernel at most: see arena.ts. */
  readonly memoryLimit?: number;
  /** Where a Gram matrix that took long is kept for the next start. */
  readonly cache?: GramCache;
}

/**
 * Matching pursuit on CPU: one matrix product of ONNX Runtime, then every step fused into one pass over a row's
 * correlations by the kernel (kernel/row-loop.ts). Until the Gram matrix stands, and where it may not be built, a step
 * takes its correlations from a matrix product over all rows that still go on.
 */
export class FusedSession extends AtomSession<PursuitWeights | OrthogonalWeights> implements EncoderSession {
  readonly #dense: DensePass;
  readonly #arena: Arena;
  readonly #threads: LoopThreads;
  readonly #gram: GramBuild | null;
  readonly #figures: CoherenceFigures;

  private constructor(
    weights: PursuitWeights | OrthogonalWeights,
    norms: Float64Array,
    dense: DensePass,
    arena: Arena,
    threads: LoopThreads,
    gram: GramBuild | null,
  ) {
    super(weights, norms);
    this.#dense = dense;
    this.#arena = arena;
    this.#threads = threads;
    this.#gram = gram;
    this.#figures = new Coherence(norms).figures(false);
  }

  static async create(given: PursuitWeights | OrthogonalWeights, options: FusedSessionOptions): Promise<FusedSession> {
    const { d, m } = given;
    const { threads, gram, cache, memoryLimit } = options;
    const slots = Math.max(LEAST_SLOTS, Math.min(SLOTS, Math.floor(CORRELATION_BYTES / (4 * m))));
    const arena = createArena({ d, m, lanes: LANES * threads, slots, gram, ...(memoryLimit && { memoryLimit }) });
    const weights = { ...given, atoms: placeAtoms(given, arena) };
    const norms = atomNorms(weights);
    const gain = Float32Array.from(norms, (norm) => 2 - norm ** 2);
    const dense = await DensePass.create(given, options);
    const loop = new LoopThreads(
      { module: compilePursuitKernel(), arena, settings: loopSettings(given), gain },
      threads,
    );
    const build = gram ? new GramBuild({ weights, arena, dense, cache: cache ?? null }) : null;
    const session = new FusedSession(weights, norms, dense, arena, loop, build);
    session.#padCorrelations();
    session.#placeScales();
    if (2 * m * m * d <= QUICK_GRAM) while ((await session.improve()).more);
    return session;
  }

  get chosen(): RuntimeChoice {
    return { runtime: "cpu", path: this.#hasGram() ? "fused" : "fused_residual" };
  }

  get coherence(): CoherenceFigures {
    return this.#gram?.coherence ?? this.#figures;
  }

  async encode(batch: EncodeBatch): Promise<SparseCodes> {
    const prepared = prepareRows(batch, this.weights);
    const { d } = this.weights;
    const jobs: RowJob[] = [];
    const deepest = batch.budgets.maxAtoms.reduce((most, atoms) => Math.max(most, atoms), 1);
    const most = Math.max(2, Math.min(this.#arena.shape.slots, Math.floor(JOB_SELECTIONS / deepest)));
    for (const [from, count] of chunks(prepared.count, most)) {
      const job = createRowJob(prepared, from, count, {
        remainderWidth: batch.reconstruction ? d : 0,
        orthogonal: orthogonalScore(this.weights, batch),
      });
      await this.#pursue(job, prepared.scaled.subarray(from * d, (from + count) * d));
      jobs.push(job);
    }
    return codesOfJobs(jobs, prepared, batch, this.weights);
  }

  improve(): Promise<Progress> {
    return this.#gram?.step() ?? Promise.resolve({ more: false });
  }

  async release(): Promise<void> {
    await this.#gram?.stop();
    await this.#threads.close();
    await this.#dense.release();
  }

  #hasGram = (): boolean => this.#gram?.complete ?? false;

  /** Every row of a job to its end. @param x [count, d] scaled */
  async #pursue(job: RowJob, x: Float32Array): Promise<void> {
    const { d } = this.weights;
    const { rowWidth, rows, residuals } = this.#arena;
    const floats = new Float32Array(this.#arena.shards[0]!.memory.buffer);
    for (let i = 0; i < job.count; i++) {
      const row = x.subarray(i * d, (i + 1) * d);
      floats.set(row, rows / 4 + rowWidth * i);
      floats.set(row, residuals / 4 + rowWidth * i);
    }
    let waiting = Array.from({ length: job.count }, (_, i) => i);
    let r = x;
    while (waiting.length > 0) {
      const products = await this.#dense.run(r);
      this.#placeCorrelations(waiting, products);
      this.#threads.run(job, this.#hasGram());
      waiting = waiting.filter((i) => job.stops[i] === WAITS);
      r = new Float32Array(Math.max(2, waiting.length) * d);
      for (const [k, i] of waiting.entries()) {
        job.stops[i] = GOES_ON;
        r.set(floats.subarray(residuals / 4 + rowWidth * i, residuals / 4 + rowWidth * i + d), k * d);
      }
    }
  }

  /** @param products [≥ slots.length, m] correlations of the rows in these slots */
  #placeCorrelations(slots: readonly number[], products: Float32Array): void {
    const { m } = this.weights;
    for (const [k, slot] of slots.entries()) {
      const row = products.subarray(k * m, (k + 1) * m);
      scatterIntoShards(this.#arena, row, (shard) => shard.correlations + 4 * shard.width * slot);
    }
  }

  /** Orthogonal pursuit divides scores by the atoms' norms, unless its settings say otherwise. */
  #placeScales(): void {
    const { kind, settings } = this.weights;
    const raw = kind === "orthogonal_matching_pursuit" && settings.rawScores;
    const scales = Float32Array.from(this.norms, (norm) => (raw ? 1 : 1 / norm));
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

/** What a row is scored by when it is to be encoded orthogonally; null for plain pursuit. */
function orthogonalScore(
  weights: PursuitWeights | OrthogonalWeights,
  { orthogonal = false }: EncodeBatch,
): OrthogonalScore | null {
  if (weights.kind === "orthogonal_matching_pursuit") return weights.settings.score;
  return orthogonal ? orthogonalSettings(weights.settings).score : null;
}

/** Settings of the plain loop; a dictionary of orthogonal pursuit never runs it. */
const loopSettings = ({ kind, settings }: PursuitWeights | OrthogonalWeights): RowLoopOptions["settings"] =>
  kind === "matching_pursuit" ? settings : { score: settings.score, reselect: "forbid" };

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
