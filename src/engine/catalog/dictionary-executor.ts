import type { BudgetColumns } from "../budget.ts";
import { EngineError } from "../errors.ts";
import { LoadFailed, RuntimeGone } from "../runtime/runtime-process.ts";
import type { SupervisedRuntime } from "../runtime/supervised-runtime.ts";
import { CostModel } from "../scheduler/cost-model.ts";
import { type Executor, ExecutorCrash, type Piece } from "../scheduler/executor.ts";
import type { SparseCodes } from "../sparse-codes.ts";
import type { EncodeWork } from "./encode-work.ts";
import { sliceCodes } from "./split-codes.ts";

export interface DictionaryExecutorOptions {
  readonly runtime: SupervisedRuntime;
  readonly warmUp: { readonly steps: number; readonly milliseconds: number };
  /** Row length. */
  readonly d: number;
  /** Threads of the runtime's session. */
  readonly threads: number;
  /** Milliseconds that one batch should take. */
  readonly batchMilliseconds: number;
  readonly watchdog: WatchdogRule;
  readonly onBatch: (rows: number, seconds: number) => void;
}

/** A batch is taken for hung after `factor` times its predicted time, but never before `floor` milliseconds. */
export interface WatchdogRule {
  readonly factor: number;
  readonly floor: number;
}

/** How much dearer an orthogonal row is taken to be than a plain one, until the first has been measured. */
const ORTHOGONAL_FACTOR = 4;

/** One dictionary's runtime as the scheduler sees it. */
export class DictionaryExecutor implements Executor<EncodeWork, SparseCodes> {
  readonly cores: number;
  readonly capacity: number;
  readonly #options: DictionaryExecutorOptions;
  readonly #costs: CostModel;
  /** Rows that a request has encoded orthogonally on a dictionary of plain pursuit: a step of theirs costs more. */
  readonly #orthogonalCosts: CostModel;

  constructor(options: DictionaryExecutorOptions) {
    this.#options = options;
    this.#costs = new CostModel(options.warmUp);
    const { steps, milliseconds } = options.warmUp;
    this.#orthogonalCosts = new CostModel({ steps, milliseconds: milliseconds * ORTHOGONAL_FACTOR });
    this.cores = options.threads;
    this.capacity = options.batchMilliseconds;
  }

  rowCost(work: EncodeWork): number {
    return this.#costsOf(work).rowCost(work.highestMaxAtoms);
  }

  /** Plain and orthogonal rows of one batch run one after the other. */
  async run(pieces: readonly Piece<EncodeWork>[]): Promise<readonly SparseCodes[]> {
    const [own, orthogonal] = [false, true].map((wanted) =>
      pieces.filter(({ work }) => (work.orthogonal ?? false) === wanted),
    ) as [Piece<EncodeWork>[], Piece<EncodeWork>[]];
    if (own.length === 0 || orthogonal.length === 0) return this.#runAlike(pieces);
    const results = new Map<Piece<EncodeWork>, SparseCodes>();
    for (const alike of [own, orthogonal]) {
      for (const [i, codes] of (await this.#runAlike(alike)).entries()) results.set(alike[i]!, codes);
    }
    return pieces.map((piece) => results.get(piece)!);
  }

  #costsOf({ orthogonal = false }: EncodeWork): CostModel {
    return orthogonal ? this.#orthogonalCosts : this.#costs;
  }

  /** Pieces that are all encoded the same way. */
  async #runAlike(pieces: readonly Piece<EncodeWork>[]): Promise<readonly SparseCodes[]> {
    const costs = this.#costsOf(pieces[0]!.work);
    const { runtime, watchdog, onBatch, d } = this.#options;
    const budgets = joinBudgets(pieces);
    const count = budgets.maxAtoms.length;
    let predicted = 0;
    for (const atoms of budgets.maxAtoms) predicted += costs.rowCost(atoms);
    const batch = {
      rows: pieces.map(({ work, from, to }) => work.rows.data.subarray(from * d, to * d)),
      count,
      budgets,
      trace: pieces.some(({ work }) => work.trace),
      reconstruction: pieces.some(({ work }) => work.reconstruction),
      ...(pieces[0]!.work.orthogonal && { orthogonal: true }),
    };
    const { codes, milliseconds } = await runtime
      .encode(batch, Math.max(watchdog.floor, predicted * watchdog.factor))
      .catch((error: unknown) => {
        throw asExecutorError(error);
      });
    if (codes.count !== count) throw new Error(`the runtime answered ${codes.count} of ${count} rows`);
    costs.learn(budgets.maxAtoms, milliseconds);
    onBatch(count, milliseconds / 1000);
    let row = 0;
    return pieces.map(({ work, from, to }) => {
      const part = { from: row, to: (row += to - from), trace: work.trace, reconstruction: work.reconstruction };
      return sliceCodes(codes, part, d);
    });
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
  if (error instanceof LoadFailed) return new EngineError("PURSUIT_DICTIONARY_FAILED", error.message, { cause: error });
  return error;
}

function joinBudgets(pieces: readonly Piece<EncodeWork>[]): BudgetColumns {
  const count = pieces.reduce((sum, { from, to }) => sum + to - from, 0);
  const joined = {
    maxAtoms: new Int32Array(count),
    tolerance: new Float64Array(count),
    residualNorm: new Float64Array(count),
    minGain: new Float64Array(count),
  };
  let row = 0;
  for (const { work, from, to } of pieces) {
    joined.maxAtoms.set(work.budgets.maxAtoms.subarray(from, to), row);
    joined.tolerance.set(work.budgets.tolerance.subarray(from, to), row);
    joined.residualNorm.set(work.budgets.residualNorm.subarray(from, to), row);
    joined.minGain.set(work.budgets.minGain.subarray(from, to), row);
    row += to - from;
  }
  return joined;
}
