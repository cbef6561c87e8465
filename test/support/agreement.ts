/** Agreement of two encoders on a row (docs/algorithm.md, Agreement). */
import { type SparseCodes, STOP_REASONS } from "../../src/engine/core/sparse-codes.ts";
import type { OraclePursuit, Pursuit } from "./oracle.ts";

/** `undecided`: they agree up to a tie too close for float32, and end equally well. */
export type Verdict =
  | { readonly kind: "agreed" }
  | { readonly kind: "undecided" }
  | { readonly kind: "differs"; readonly why: string };

/** Row i of traced codes as a pursuit. */
export function pursuitOf(codes: SparseCodes, i: number): Pursuit {
  const { trace } = codes;
  if (!trace) throw new Error("encode with trace: true");
  const [from, to] = [trace.indptr[i]!, trace.indptr[i + 1]!];
  return {
    indices: [...trace.indices.subarray(from, to)],
    values: [...trace.values.subarray(from, to)],
    norms: [...trace.residualNorms!.subarray(from, to)],
    stop: STOP_REASONS[codes.stops[i]!]!,
    residualNorm: codes.residualNorms![i]!,
  };
}

/**
 * Compares two pursuits of a row. `other.stop` is null if the reference does not report it. `other.norms` are needed
 * where a repeat ends a row: an undecided step also decides how long such a row goes on, so both are compared after as
 * many steps as both made.
 */
export function compare(
  ours: Pursuit,
  other: Omit<Pursuit, "stop" | "norms"> & { readonly stop: string | null; readonly norms?: readonly number[] },
  oracle: OraclePursuit,
): Verdict {
  const largest = other.values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  for (let k = 0; k < oracle.decided; k++) {
    if (ours.indices[k] !== other.indices[k]) {
      return { kind: "differs", why: `step ${k}: ours selects ${ours.indices[k]}, the other ${other.indices[k]}` };
    }
    if (!(Math.abs(ours.values[k]! - other.values[k]!) <= 1e-5 * largest)) {
      return { kind: "differs", why: `step ${k}: our value ${ours.values[k]}, the other's ${other.values[k]}` };
    }
  }
  if (oracle.allDecided) {
    if (ours.indices.length !== other.indices.length) {
      return {
        kind: "differs",
        why: `ours ends after ${ours.indices.length} (${ours.stop}), the other after ${other.indices.length} (${other.stop})`,
      };
    }
    if (other.stop !== null && ours.stop !== other.stop)
      return { kind: "differs", why: `ours ends for ${ours.stop}, the other for ${other.stop}` };
    return { kind: "agreed" };
  }
  const common = Math.min(ours.indices.length, other.indices.length);
  const repeated = other.norms !== undefined && ours.stop === "repeat" && common > 0;
  const [left, otherLeft] = repeated
    ? [ours.norms[common - 1]!, other.norms[common - 1]!]
    : [ours.residualNorm, other.residualNorm];
  const apart = Math.abs(left - otherLeft);
  if (!(apart <= 0.01 * Math.max(left, otherLeft) || apart <= 1e-3 * oracle.norm)) {
    return { kind: "differs", why: `undecided after ${oracle.decided}; residuals ${left} and ${otherLeft}` };
  }
  return { kind: "undecided" };
}
