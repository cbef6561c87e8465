import type { Budget, BudgetColumns, RequestBudget } from "../core/budget.ts";
import type { DictionaryManifest } from "../core/dictionary.ts";
import { EngineError } from "../core/errors.ts";
import { budgetClass } from "../scheduler/cost-model.ts";
import { specOf } from "../encoders/registry.ts";
import type { BudgetRule } from "../encoders/spec.ts";

/** Limits on the budgets of one dictionary's rows. */
export interface RowBudgetRule extends BudgetRule {
  /** Budget of a row without one; null: each row needs one. */
  readonly fallback: Budget | null;
  /** Nested widths of the dictionary; may be empty. */
  readonly groups: readonly number[];
}

/** @param serverCap PURSUIT_MAX_ATOMS; it limits the default budget too. */
export function budgetRule(manifest: DictionaryManifest, serverCap: number): RowBudgetRule {
  const { encoder, defaultBudget = {}, groups = [] } = manifest;
  const rule = specOf(manifest).budget(encoder, manifest, serverCap);
  return { ...rule, groups, fallback: cappedBudget(defaultBudget, rule.cap) };
}

export function cappedBudget(budget: Budget, cap: number): Budget {
  const { maxAtoms } = budget;
  return maxAtoms === undefined ? budget : { ...budget, maxAtoms: Math.min(maxAtoms, cap) };
}

/** Refuses limits on a residual that cannot be measured. @throws EngineError PURSUIT_BUDGET_OUT_OF_RANGE */
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
    group: new Int32Array(count),
  };
  if (perRow === null) {
    const one = budget as Budget | null;
    if (one !== null) checkBudget(one, "budget", rule);
    fill(columns, one ?? fallbackOf(rule, "budget"), rule, 0, count);
  } else {
    for (const [row, one] of perRow.entries()) {
      if (one !== null) checkBudget(one, `budget[${row}]`, rule);
      fill(columns, one ?? fallbackOf(rule, `budget[${row}]`), rule, row, row + 1);
    }
  }
  return columns;
}

/** @throws EngineError PURSUIT_BUDGET_OUT_OF_RANGE if the rule has none */
function fallbackOf({ fallback }: RowBudgetRule, where: string): Budget {
  if (fallback !== null) return fallback;
  throw outOfRange(
    `${where} is missing: a pursuit over this decoder needs one, as the dictionary has neither a default_budget nor a k. Send one, such as {"max_atoms": 32}.`,
  );
}

/** [count] class of each row's budget, for the cost model. */
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
  columns.group.fill(budget.group ?? 0, from, to);
}

function checkBudget(budget: Budget, where: string, { cap, groups }: RowBudgetRule): void {
  const { maxAtoms, group, ...limits } = budget;
  if (group !== undefined) checkGroup(group, groups, `${where}.group`);
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

/** @throws EngineError PURSUIT_BUDGET_OUT_OF_RANGE listing the groups */
export function checkGroup(group: number, groups: readonly number[], where: string): void {
  if (groups.includes(group)) return;
  throw outOfRange(
    groups.length === 0
      ? `${where} is ${group}; this dictionary has no groups. Leave it out.`
      : `${where} is ${group}; this dictionary's groups are ${groups.join(", ")}.`,
  );
}

const outOfRange = (message: string): EngineError => new EngineError("PURSUIT_BUDGET_OUT_OF_RANGE", message);
