import type { Budget, BudgetColumns, RequestBudget } from "../core/budget.ts";
import type { DictionaryManifest } from "../core/dictionary.ts";
import { EngineError } from "../core/errors.ts";
import { budgetClass } from "../scheduler/cost-model.ts";
import { specOf } from "../encoders/registry.ts";
import type { BudgetRule } from "../encoders/spec.ts";
import type { Rows } from "../core/rows.ts";

/** @throws EngineError PURSUIT_WRONG_WIDTH */
export function checkWidth({ width }: Rows, d: number): void {
  if (width === d) return;
  const message = `The rows are ${width} wide; this dictionary takes rows of ${d}. Check the model, layer and hook.`;
  throw new EngineError("PURSUIT_WRONG_WIDTH", message);
}

/** What the budgets of one dictionary's rows may be. */
export interface RowBudgetRule extends BudgetRule {
  /** Budget of a row that has none. */
  readonly fallback: Budget;
}

/** @param serverCap PURSUIT_MAX_ATOMS; it limits the default budget too. */
export function budgetRule(manifest: DictionaryManifest, serverCap: number): RowBudgetRule {
  const { encoder, defaultBudget = {} } = manifest;
  const rule = specOf(manifest).budget(encoder, manifest, serverCap);
  const { maxAtoms } = defaultBudget;
  const capped = maxAtoms === undefined ? {} : { maxAtoms: Math.min(maxAtoms, rule.cap) };
  return { ...rule, fallback: { ...defaultBudget, ...capped } };
}

/** @throws EngineError PURSUIT_WRONG_WIDTH */
export function checkTargets({ width, count }: Rows, rows: number, dOut: number): void {
  if (width === dOut && count === rows) return;
  const message = `targets holds ${count} rows of ${width}; ${rows} rows of ${dOut} were due, one for each input.`;
  throw new EngineError("PURSUIT_WRONG_WIDTH", message);
}

/** Limits on a residual need something to measure it against. @throws EngineError PURSUIT_BUDGET_OUT_OF_RANGE */
export function checkUnmeasured({ tolerance, residualNorm, minGain }: BudgetColumns): void {
  for (const [name, limits] of Object.entries({ tolerance, residual_norm: residualNorm, min_gain: minGain })) {
    const row = limits.findIndex((limit) => limit > 0);
    if (row < 0) continue;
    throw outOfRange(
      `budget.${name} of row ${row}: a transcoder's residual is known only beside targets. Send targets, or max_atoms alone.`,
    );
  }
}

/**
 * One column entry per row, every default filled in.
 * @throws EngineError PURSUIT_BUDGET_OUT_OF_RANGE naming the part, and the row where budgets came one per row.
 */
export function budgetColumns(budget: RequestBudget, count: number, rule: RowBudgetRule): BudgetColumns {
  const perRow = Array.isArray(budget) ? (budget as readonly (Budget | null)[]) : null;
  if (perRow !== null && perRow.length !== count) {
    throw outOfRange(`budget holds ${perRow.length} entries for ${count} rows; give one object, or one per row.`);
  }
  const columns = {
    maxAtoms: new Int32Array(count),
    tolerance: new Float64Array(count),
    residualNorm: new Float64Array(count),
    minGain: new Float64Array(count),
  };
  if (perRow === null) {
    const one = budget as Budget | null;
    if (one !== null) checkBudget(one, "budget", rule);
    fill(columns, one ?? rule.fallback, rule, 0, count);
  } else {
    for (const [row, one] of perRow.entries()) {
      if (one !== null) checkBudget(one, `budget[${row}]`, rule);
      fill(columns, one ?? rule.fallback, rule, row, row + 1);
    }
  }
  return columns;
}

/** [count] the class of each row's budget, which the cost model tells rows apart by. */
export function budgetClasses(
  { maxAtoms, tolerance, residualNorm, minGain }: BudgetColumns,
  uniform: boolean,
): Uint16Array {
  const classes = new Uint16Array(maxAtoms.length);
  for (let row = 0; row < classes.length; row++) {
    classes[row] = budgetClass({
      maxAtoms: maxAtoms[row]!,
      tolerance: tolerance[row]!,
      residualNorm: residualNorm[row]!,
      minGain: minGain[row]!,
    });
    if (uniform) return classes.fill(classes[0]!);
  }
  return classes;
}

function fill(columns: BudgetColumns, budget: Budget, { unset }: BudgetRule, from: number, to: number): void {
  columns.maxAtoms.fill(budget.maxAtoms ?? unset, from, to);
  columns.tolerance.fill(budget.tolerance ?? 0, from, to);
  columns.residualNorm.fill(budget.residualNorm ?? 0, from, to);
  columns.minGain.fill(budget.minGain ?? 0, from, to);
}

function checkBudget(budget: Budget, where: string, { cap }: BudgetRule): void {
  const { maxAtoms, ...limits } = budget;
  if (maxAtoms !== undefined && !(Number.isInteger(maxAtoms) && maxAtoms >= 0 && maxAtoms <= cap)) {
    throw outOfRange(`${where}.max_atoms is ${maxAtoms}; it must be an integer from 0 to ${cap}.`);
  }
  const names = { tolerance: "tolerance", residualNorm: "residual_norm", minGain: "min_gain" } as const;
  for (const [part, name] of Object.entries(names)) {
    const value = limits[part as keyof typeof names];
    if (value !== undefined && !(Number.isFinite(value) && value >= 0)) {
      throw outOfRange(`${where}.${name} is ${value}; it must be a finite number, 0 or more.`);
    }
  }
}

const outOfRange = (message: string): EngineError => new EngineError("PURSUIT_BUDGET_OUT_OF_RANGE", message);
