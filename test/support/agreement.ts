/** Agreement of two encoders on a row, as DESIGN §2.1 defines it. */
import type { SparseCodes } from "../../src/engine/sparse-codes.ts";
import { STOP_REASONS } from "../../src/engine/sparse-codes.ts";
import type { OraclePursuit, Pursuit } from "./oracle.ts";

/** `undecided`: they agree as far as float32 decides, and end equally well. */
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
    norms: [...trace.residualNorms.subarray(from, to)],
    stop: STOP_REASONS[codes.stops[i]!]!,
    residualNorm: codes.residualNorms[i]!,
  };
}

/** `other.stop` null: the reference does not tell why it ended. */
export function compare(
  ours: Pursuit,
  other: Omit<Pursuit, "stop" | "norms"> & { readonly stop: string | null },
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
  const apart = Math.abs(ours.residualNorm - other.residualNorm);
  if (!(apart <= 0.01 * Math.max(ours.residualNorm, other.residualNorm) || apart <= 1e-3 * oracle.norm)) {
    return {
      kind: "differs",
      why: `undecided after ${oracle.decided}; residuals ${ours.residualNorm} and ${other.residualNorm}`,
    };
  }
  return { kind: "undecided" };
}
