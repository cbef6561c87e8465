import type { DictionaryManifest } from "../core/dictionary.ts";

/** What a dictionary's budgets may hold. */
export interface BudgetRule {
  /** Entries of one row at most. */
  readonly cap: number;
  /** Entries of one row where the budget does not say. */
  readonly standard: number;
  /** Whether limits on the residual make sense: a one-pass encoder has none along the way. */
  readonly limits: boolean;
}

/** @param serverCap the server's own cap (PURSUIT_MAX_ATOMS). */
export function budgetRule({ kind, encoder, m }: DictionaryManifest, serverCap: number): BudgetRule {
  switch (kind) {
    case "matching_pursuit":
    case "orthogonal_matching_pursuit": {
      const cap = Math.min(encoder.maxAtoms ?? Infinity, serverCap);
      return { cap, standard: cap, limits: true };
    }
    case "topk": {
      const cap = Math.min(m, serverCap);
      return { cap, standard: Math.min(encoder.k, cap), limits: false };
    }
  }
}
