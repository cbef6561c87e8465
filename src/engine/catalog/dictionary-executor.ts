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

/** One dictionary's runtime as the scheduler sees it. */
export class DictionaryExecutor implements Executor<EncodeWork, SparseCodes> {
  readonly cores: number;
  readonly capacity: number;
  readonly #options: DictionaryExecutorOptions;
  readonly #costs: CostModel;

  constructor(options: DictionaryExecutorOptions) {
    this.#options = options;
    this.#costs = new CostModel(options.warmUp);
    this.cores = options.threads;
    this.capacity = options.batchMilliseconds;
  }

  rowCost(work: EncodeWork): number {
    return this.#costs.rowCost(work.highestMaxAtoms);
  }

  async run(pieces: readonly Piece<EncodeWork>[]): Promise<readonly SparseCodes[]> {
    const { runtime, watchdog, onBatch, d } = this.#options;
    const budgets = joinBudgets(pieces);
    const count = budgets.maxAtoms.length;
    let predicted = 0;
    for (const atoms of budgets.maxAtoms) predicted += this.#costs.rowCost(atoms);
    const batch = {
      rows: pieces.map(({ work, from, to }) => work.rows.data.subarray(from * d, to * d)),
      count,
      budgets,
      trace: pieces.some(({ work }) => work.trace),
      reconstruction: pieces.some(({ work }) => work.reconstruction),
    };
    const { codes, milliseconds } = await runtime
      .encode(batch, Math.max(watchdog.floor, predicted * watchdog.factor))
      .catch((error: unknown) => {
        throw asExecutorError(error);
      });
    if (codes.count !== count) throw new Error(`the runtime answered ${codes.count} of ${count} rows`);
    this.#costs.learn(budgets.maxAtoms, milliseconds);
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
