import type { Budget } from "../../src/engine/core/budget.ts";
import type { EncodeAnswer, EncodeRequest, RequestContext } from "../../src/engine/engine.ts";
import type { Rows } from "../../src/engine/core/rows.ts";
import { STOP_REASONS } from "../../src/engine/core/sparse-codes.ts";
import { type CodeRow, codesOf } from "./codes.ts";
import { FAKE_D, FAKE_M, FakeEngine } from "./fake-engine.ts";

/**
 * An engine whose codes depend on every bit of a row and its budget, and on nothing else. They hold everything a codec
 * could lose: the smallest and the largest float32, both signs, empty codes, every stop reason.
 */
export class CodecEngine extends FakeEngine {
  override async encode(id: string, request: EncodeRequest, context: RequestContext): Promise<EncodeAnswer> {
    const answer = await super.encode(id, request, context);
    const { rows, budget, trace, reconstruction, correlations } = request;
    const codes = Array.from({ length: rows.count }, (_, i) => {
      const row = rows.data.slice(i * FAKE_D, (i + 1) * FAKE_D);
      const own = ((Array.isArray(budget) ? budget[i] : budget) ?? {}) as Budget;
      return codeOf(row, own.maxAtoms ?? FAKE_M, { trace, reconstruction, correlations });
    });
    return { ...answer, codes: codesOf(codes, FAKE_M) };
  }

  override async decode(...args: Parameters<FakeEngine["decode"]>): Promise<Rows> {
    const [, codes] = args;
    const rows = await super.decode(...args);
    // Every value of a code shows in its row.
    for (let i = 0; i < codes.count; i++) {
      let sum = codes.norm?.shift[i] ?? 0;
      for (let k = codes.indptr[i]!; k < codes.indptr[i + 1]!; k++) sum += codes.values[k]! * (codes.indices[k]! + 1);
      rows.data.set([sum, codes.norm?.scale[i] ?? 1], i * FAKE_D);
    }
    return rows;
  }
}

interface Included {
  readonly trace: boolean;
  readonly reconstruction: boolean;
  readonly correlations: number | undefined;
}

function codeOf(row: Float32Array, maxAtoms: number, { trace, reconstruction, correlations }: Included): CodeRow {
  const bits = new Uint32Array(row.buffer);
  const mixed = Math.imul(bits[0]! ^ Math.imul(bits[1]!, 0x9e3779b1), 0x85ebca6b) >>> 0;
  const values = [row[0]!, -row[1]!, 1.401298464324817e-45, -3.4028234663852886e38, row[0]! * row[1]!];
  const entries = Array.from({ length: FAKE_M }, (_, index) => [index, Math.fround(values[index]!)] as const)
    .filter(([index, value]) => value !== 0 && ((mixed >> index) & 1) === 1)
    .slice(0, maxAtoms);
  return {
    entries,
    residualNorm: Math.fround(Math.abs(row[0]!)),
    relativeError: Math.fround(mixed / 2 ** 32),
    stop: STOP_REASONS[mixed % STOP_REASONS.length]!,
    norm: { shift: row[1]!, scale: Math.fround(Math.abs(row[0]!) + 0.1) },
    ...(trace && { trace: entries.map(([index, value], k) => [index, value, Math.fround(k / 3)] as const) }),
    ...(reconstruction && { reconstruction: [...row] }),
    ...(correlations !== undefined && {
      correlations: Array.from(
        { length: correlations },
        (_, index) => [index, Math.fround(values[index]! + 0)] as const,
      ),
    }),
  };
}
