import { compareCode } from "../../src/engine/dictionaries/verify/compare-code.ts";
import type { ServedCode } from "../../src/engine/dictionaries/verify/step-margins.ts";
import type { StopReason } from "../../src/engine/core/sparse-codes.ts";
import { type Budget, writeRequest } from "./codecs.ts";
import { type AnsweredCode, readAnswer } from "./read-answer.ts";
import type { RowPool } from "./row-pool.ts";

/** Values this close, relative to the row's largest |value|, are the same (docs/algorithm.md, Agreement). */
const VALUE_TOLERANCE = 1e-5;

/** `undecided`: another code, which float32 may as well have come to, since two scores were as good as equal. */
export type Verdict = "same" | "undecided" | "wrong";

/** The codes of a pool's rows, each asked for alone, and how others compare with them. */
export interface ExpectedCodes {
  /** @param i row of the pool. */
  readonly judge: (i: number, answered: AnsweredCode) => Verdict;
}

/** Asks for every row of the pool alone, one after another. @throws Error when one is not answered */
export async function expectedCodes(base: string, pool: RowPool, budget: Budget): Promise<ExpectedCodes> {
  const alone: Required<AnsweredCode>[] = [];
  for (let i = 0; i < pool.count; i++) {
    const { path, headers, body } = writeRequest(pool, [i], "base64", { budget, include: ["trace"] });
    const answer = await fetch(base + path, { method: "POST", headers, body });
    if (answer.status !== 200) throw new Error(`row ${i} alone answers ${answer.status}: ${await answer.text()}`);
    const contentType = answer.headers.get("content-type")!;
    const [code] = readAnswer({ contentType, body: Buffer.from(await answer.arrayBuffer()) });
    alone.push(code as Required<AnsweredCode>);
  }
  return {
    judge(i, answered) {
      const code = alone[i]!;
      // Shortened under load: the first steps of the same pursuit, which is what fewer atoms would have given.
      const due = answered.stop === "degraded" ? firstSteps(code, answered.steps) : code;
      if (isSame(due, answered)) return "same";
      return mayDiffer(pool, i, due, answered) ? "undecided" : "wrong";
    },
  };
}

function isSame(due: AnsweredCode, { indices, values, steps, stop }: AnsweredCode): boolean {
  if (indices.length !== due.indices.length || values.length !== indices.length) return false;
  if (stop !== undefined && (steps !== due.steps || stop !== due.stop)) return false;
  let largest = 0;
  for (let k = 0; k < values.length; k++) largest = Math.max(largest, Math.abs(due.values[k]!));
  for (let k = 0; k < values.length; k++) {
    if (indices[k] !== due.indices[k]) return false;
    if (!(Math.abs(values[k]! - due.values[k]!) <= VALUE_TOLERANCE * largest)) return false;
  }
  return true;
}

/** The code after so many steps of a traced one, as a shortened row answers it. */
export function firstSteps(code: Required<AnsweredCode>, steps: number): Required<AnsweredCode> {
  const { indices, values, residual_norms: norms } = code.trace;
  const merged = new Map<number, number>();
  for (let k = 0; k < steps; k++) merged.set(indices[k]!, (merged.get(indices[k]!) ?? 0) + values[k]!);
  const entries = [...merged].filter(([, value]) => value !== 0).toSorted(([a], [b]) => a - b);
  return {
    ...code,
    indices: entries.map(([index]) => index),
    values: entries.map(([, value]) => value),
    steps: Math.min(steps, indices.length),
    stop: "degraded",
    trace: {
      indices: indices.slice(0, steps),
      values: values.slice(0, steps),
      residual_norms: norms.slice(0, steps),
    },
  };
}

/** The slow and exact comparison of `pursuit verify`, for the few that differ. */
function mayDiffer(pool: RowPool, i: number, due: AnsweredCode, answered: AnsweredCode): boolean {
  const { trace } = due;
  if (!trace) return false;
  const z = new Float32Array(pool.weights.m);
  for (let k = 0; k < answered.indices.length; k++) {
    const index = answered.indices[k]!;
    if (!(index < z.length)) return false;
    z[index] = answered.values[k]!;
  }
  const served: ServedCode = {
    indices: due.indices,
    values: due.values,
    stop: due.stop as StopReason,
    trace,
    residualNorms: trace.residual_norms,
  };
  // The same numbers with another end or count of steps are no matter of digits.
  return compareCode(served, pool.row(i), z, pool.weights).kind === "undecided";
}
