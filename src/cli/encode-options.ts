import { type Command, InvalidArgumentError, Option } from "commander";
import { WireError } from "../codecs/codec-error.ts";
import { readEncoder } from "../codecs/read-encoder.ts";
import type { Budget } from "../engine/core/budget.ts";
import type { RequestEncoder } from "../engine/core/dictionary.ts";

/** Flags of the parts of a budget, and of the encoder. */
export interface BudgetFlags {
  readonly maxAtoms?: number;
  readonly tolerance?: number;
  readonly residualNorm?: number;
  readonly minGain?: number;
  readonly group?: number;
  readonly encoder?: RequestEncoder;
}

/** Adds --max-atoms, --tolerance, --residual-norm, --min-gain, --group and --encoder, as a request's fields are named. */
export function addBudgetOptions(command: Command): Command {
  return command
    .option("--max-atoms <n>", "atoms of one row at most", parseCount)
    .option("--tolerance <t>", "stop a row once its relative error is at most t", parseLimit)
    .option("--residual-norm <r>", "stop a row once the norm of its residual is at most r", parseLimit)
    .option("--min-gain <g>", "stop before an atom that explains less than this share of the row's energy", parseLimit)
    .option("--group <n>", "use the first n atoms only: one of the dictionary's groups", parseCount)
    .addOption(encoderOption());
}

/** --encoder of the commands that encode, as a request names it. Undefined: the dictionary's own. */
export const encoderOption = (): Option =>
  new Option(
    "--encoder <encoder>",
    'own, matching_pursuit or orthogonal; or settings, such as \'{"kind": "orthogonal", "score": "absolute"}\'',
  ).argParser(parseEncoder);

/** The budget that the flags make; null without any: the dictionary's default applies. */
export function budgetOf({ maxAtoms, tolerance, residualNorm, minGain, group }: BudgetFlags): Budget | null {
  const budget: Budget = {
    ...(maxAtoms !== undefined && { maxAtoms }),
    ...(tolerance !== undefined && { tolerance }),
    ...(residualNorm !== undefined && { residualNorm }),
    ...(minGain !== undefined && { minGain }),
    ...(group !== undefined && { group }),
  };
  return Object.keys(budget).length === 0 ? null : budget;
}

function parseCount(given: string): number {
  if (/^\d{1,7}$/.test(given)) return Number(given);
  throw new InvalidArgumentError("It must be an integer ≥ 0.");
}

function parseLimit(given: string): number {
  const value = Number(given);
  if (given.trim() !== "" && Number.isFinite(value) && value >= 0) return value;
  throw new InvalidArgumentError("It must be a number ≥ 0.");
}

function parseEncoder(given: string): RequestEncoder | undefined {
  try {
    return readEncoder(given, "it");
  } catch (error) {
    throw error instanceof WireError ? new InvalidArgumentError(error.message) : error;
  }
}
