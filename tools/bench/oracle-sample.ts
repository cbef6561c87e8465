import type { PursuitWeights } from "../../src/engine/core/dictionary-weights.ts";
import type { SparseCodes } from "../../src/engine/core/sparse-codes.ts";
import { compare, pursuitOf, type Verdict } from "../../test/support/agreement.ts";
import { type OraclePursuit, oraclePursuit } from "../../test/support/oracle.ts";

/** Multiplications of the float64 oracle for one shape, a few seconds' worth. */
const OPERATIONS = 4e9;
const MOST_ROWS = 8;

/** Pursuits of a few rows spread over the batch, by the float64 oracle. */
export interface OracleSample {
  readonly rows: readonly number[];
  readonly pursuits: readonly OraclePursuit[];
}

/** @param x [count, d] of a dictionary without input norm */
export function oracleSample(
  x: Float32Array,
  weights: PursuitWeights,
  steps: number,
  most: number = MOST_ROWS,
): OracleSample {
  const { d, m } = weights;
  const count = x.length / d;
  const affordable = Math.floor(OPERATIONS / (m * d * (steps + 1)));
  const sample = Math.min(count, Math.max(1, Math.min(most, affordable)));
  const rows = Array.from({ length: sample }, (_, i) => Math.floor((i * count) / sample));
  const pursuits = rows.map((i) => oraclePursuit(x.subarray(i * d, (i + 1) * d), weights, { maxAtoms: steps }));
  return { rows, pursuits };
}

/** Why traced codes are not the oracle's, or null. */
export function oracleFault(codes: SparseCodes, { rows, pursuits }: OracleSample): string | null {
  for (const [k, row] of rows.entries()) {
    const verdict: Verdict = compare(pursuitOf(codes, row), pursuits[k]!, pursuits[k]!);
    if (verdict.kind === "differs") return `row ${row}: ${verdict.why}`;
  }
  return null;
}
