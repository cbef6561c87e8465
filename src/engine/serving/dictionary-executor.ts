import type { BudgetColumns } from "../core/budget.ts";
import type { Clock } from "../core/clock.ts";
import type { PursuitChoice } from "../core/dictionary.ts";
import { EngineError, Fault } from "../core/errors.ts";
import type { Rows } from "../core/rows.ts";
import type { BatchResult, BatchSpan, Span, Telemetry } from "../core/telemetry.ts";
import { RuntimeGone } from "../runtime/supervisor/runtime-process.ts";
import type { SupervisedRuntime } from "../runtime/supervisor/supervised-runtime.ts";
import { CostModel } from "../scheduler/cost-model.ts";
import { type Executor, ExecutorCrash, type Piece, type Work } from "../scheduler/work.ts";
import { STOP_REASONS, type SparseCodes } from "../core/sparse-codes.ts";
import { sliceCodes } from "../core/split-codes.ts";

/** One request's checked rows with complete budgets, as it is queued for a dictionary. */
export interface EncodeWork extends Work {
  readonly rows: Rows;
  /** [count, d_out], for transcoders */
  readonly targets?: Rows;
  readonly budgets: BudgetColumns;
  /** [count] classes of the budgets, for predicting and learning costs. */
  readonly classes: Uint16Array;
  /** Of the request. */
  readonly span: Span;
  readonly trace: boolean;
  readonly reconstruction: boolean;
  /** This pursuit; absent: the dictionary's own encoder. */
  readonly pursuit?: PursuitChoice;
}

export interface DictionaryExecutorOptions extends WatchdogRule {
  /** Its id. */
  readonly dictionary: string;
  readonly runtime: SupervisedRuntime;
  readonly warmUp: { readonly steps: number; readonly milliseconds: number };
  /** Row length. */
  readonly dIn: number;
  /** Threads of the runtime's session. */
  readonly threads: number;
  /** Target milliseconds of one batch. */
  readonly batchMs: number;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
}

/** A batch counts as hung after `watchdogFactor` times its predicted time, but never before `watchdogMs`. */
export interface WatchdogRule {
  readonly watchdogFactor: number;
  readonly watchdogMs: number;
}

/** Row costs: learned, and as at load time (used after a restart, before the Gram matrix is rebuilt). */
interface Costs {
  readonly learned: CostModel;
  readonly atLoad: CostModel;
}

/** Assumed cost of an orthogonal row over a plain one, until the first has been measured. */
const ORTHOGONAL_FACTOR = 4;

/** The scheduler's view of one dictionary's runtime. */
export class DictionaryExecutor implements Executor<EncodeWork, SparseCodes> {
  readonly cores: number;
  readonly capacity: number;
  /** The runtime process accepts a batch while it runs one. */
  readonly takesAhead = true;
  readonly #options: DictionaryExecutorOptions;
  readonly #costs: Costs;
  /** Of rows that a request has encoded orthogonally where plain rows are encoded too: a step of theirs costs more. */
  readonly #orthogonalCosts: Costs;

  constructor(options: DictionaryExecutorOptions) {
    this.#options = options;
    const { steps, milliseconds } = options.warmUp;
    const costsAfter = (warmUp: DictionaryExecutorOptions["warmUp"]): Costs => ({
      learned: new CostModel(warmUp),
      atLoad: new CostModel(warmUp),
    });
    this.#costs = costsAfter(options.warmUp);
    this.#orthogonalCosts = costsAfter({ steps, milliseconds: milliseconds * ORTHOGONAL_FACTOR });
    this.cores = options.threads;
    this.capacity = options.batchMs;
  }

  get overhead(): number {
    return this.#costs.learned.overhead;
  }

  ready(): Promise<void> | null {
    return this.#options.runtime.ready();
  }

  rowCost(work: EncodeWork, row: number, keep: number): number {
    return this.#costsOf(work).learned.rowCost(work.classes[row]!, work.budgets.maxAtoms[row]!, keep);
  }

  /** Rows of one batch that are encoded in different ways run one after the other. */
  async run(pieces: readonly Piece<EncodeWork>[]): Promise<readonly SparseCodes[]> {
    const groups = new Map<string, Piece<EncodeWork>[]>();
    for (const piece of pieces) {
      const { pursuit = null, targets } = piece.work;
      const way = `${JSON.stringify(pursuit)} ${targets !== undefined}`;
      const alike = groups.get(way);
      if (alike === undefined) groups.set(way, [piece]);
      else alike.push(piece);
    }
    if (groups.size === 1) return this.#runAlike(pieces);
    const results = new Map<Piece<EncodeWork>, SparseCodes>();
    for (const alike of groups.values()) {
      for (const [i, codes] of (await this.#runAlike(alike)).entries()) results.set(alike[i]!, codes);
    }
    return pieces.map((piece) => results.get(piece)!);
  }

  #costsOf({ pursuit }: EncodeWork): Costs {
    return pursuit?.kind === "orthogonal" ? this.#orthogonalCosts : this.#costs;
  }

  /** Pieces that are all encoded the same way. */
  async #runAlike(pieces: readonly Piece<EncodeWork>[]): Promise<readonly SparseCodes[]> {
    const { pursuit } = pieces[0]!.work;
    const { learned, atLoad } = this.#costsOf(pieces[0]!.work);
    const { dictionary, runtime, watchdogFactor, watchdogMs, dIn, clock, telemetry } = this.#options;
    const { budgets, asked, classes } = this.#join(pieces, learned);
    const count = asked.length;
    const { maxAtoms } = budgets;
    const predicted = Math.max(learned.runCost(classes, maxAtoms), atLoad.runCost(classes, maxAtoms));
    const batch = {
      rows: pieces.map(({ work, from, to }) => work.rows.data.subarray(from * dIn, to * dIn)),
      count,
      budgets,
      trace: pieces.some(({ work }) => work.trace),
      reconstruction: pieces.some(({ work }) => work.reconstruction),
      ...(pursuit && { pursuit }),
      ...(pieces[0]!.work.targets && {
        targets: pieces.map(({ work: { targets }, from, to }) =>
          targets!.data.subarray(from * targets!.width, to * targets!.width),
        ),
      }),
    };
    const time = { expected: predicted, limit: Math.max(watchdogMs, predicted * watchdogFactor) };
    const encoder = pursuit?.kind ?? "own";
    const span: BatchSpan = { dictionary, encoder, rows: count, requests: pieces.map(({ work }) => work.span) };
    const start = clock.now();
    telemetry.emit({ type: "batch_started", batch: span, at: start });
    const onEnded = (result: BatchResult | null): void =>
      telemetry.emit({ type: "batch_ended", batch: span, start, end: clock.now(), result });
    const { codes, milliseconds } = await runtime.encode(batch, time, span).catch((error: unknown) => {
      onEnded(null);
      throw asExecutorError(error);
    });
    if (codes.count !== count) throw new Error(`the runtime answered ${codes.count} of ${count} rows`);
    // What the session took, and not the way there and back, which is the queue's pace to know: on a flooded event loop
    // that way is long whatever the batch, and prices with it in them made batches ever smaller, down to single rows.
    learned.learn({ classes, asked, allowed: maxAtoms, steps: codes.steps, milliseconds });
    markDegraded(codes, asked, maxAtoms);
    onEnded({ codes, milliseconds });
    let row = 0;
    return pieces.map(({ work, from, to }) => {
      const part = { from: row, to: (row += to - from), trace: work.trace, reconstruction: work.reconstruction };
      return sliceCodes(codes, part);
    });
  }

  /** The budgets of all pieces, with fewer atoms where a piece may not keep all; what was asked; and their classes. */
  #join(
    pieces: readonly Piece<EncodeWork>[],
    costs: CostModel,
  ): { budgets: BudgetColumns; asked: Int32Array; classes: Uint16Array } {
    const count = pieces.reduce((sum, { from, to }) => sum + to - from, 0);
    const budgets = {
      maxAtoms: new Int32Array(count),
      tolerance: new Float64Array(count),
      residualNorm: new Float64Array(count),
      minGain: new Float64Array(count),
      group: new Int32Array(count),
    };
    const classes = new Uint16Array(count);
    let row = 0;
    for (const { work, from, to } of pieces) {
      budgets.maxAtoms.set(work.budgets.maxAtoms.subarray(from, to), row);
      budgets.tolerance.set(work.budgets.tolerance.subarray(from, to), row);
      budgets.residualNorm.set(work.budgets.residualNorm.subarray(from, to), row);
      budgets.minGain.set(work.budgets.minGain.subarray(from, to), row);
      budgets.group.set(work.budgets.group.subarray(from, to), row);
      classes.set(work.classes.subarray(from, to), row);
      row += to - from;
    }
    if (pieces.every(({ keep }) => keep >= 1)) return { budgets, asked: budgets.maxAtoms, classes };
    const asked = budgets.maxAtoms.slice();
    row = 0;
    for (const { from, to, keep } of pieces) {
      for (const end = row + to - from; row < end; row++) {
        budgets.maxAtoms[row] = costs.keptAtoms(classes[row]!, asked[row]!, keep);
      }
    }
    return { budgets, asked, classes };
  }
}

const MAX_ATOMS = STOP_REASONS.indexOf("max_atoms");
const DEGRADED = STOP_REASONS.indexOf("degraded");

/** A row that its lowered budget ended was shortened; one that ended before, by whatever reason, was not. */
function markDegraded({ stops }: SparseCodes, asked: Int32Array, allowed: Int32Array): void {
  if (asked === allowed) return;
  for (let i = 0; i < stops.length; i++) {
    if (stops[i] === MAX_ATOMS && allowed[i]! < asked[i]!) stops[i] = DEGRADED;
  }
}

/** A runtime's faults in the words of the engine: a crash may be tried again, a broken dictionary may not. */
function asExecutorError(error: unknown): unknown {
  if (error instanceof RuntimeGone) return new ExecutorCrash(error.message, { cause: error });
  return asEngineError(error);
}

/** The same for calls that are not scheduled in batches. */
export function asEngineError(error: unknown): unknown {
  if (error instanceof RuntimeGone) return new EngineError("PURSUIT_RUNTIME_CRASHED", error.message, { cause: error });
  if (error instanceof Fault) return new EngineError("PURSUIT_DICTIONARY_FAILED", error.message, { cause: error });
  return error;
}
