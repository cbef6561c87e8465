import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { joinCodes, sliceCodes } from "../../../src/engine/core/split-codes.ts";
import type { SparseCodes } from "../../../src/engine/core/sparse-codes.ts";

/** Codes whose every number says which row it belongs to. */
function codesOf(lengths: readonly number[], withNorm: boolean): SparseCodes {
  const indptr = Uint32Array.from([0, ...lengths.map((_, i) => lengths.slice(0, i + 1).reduce((a, b) => a + b, 0))]);
  const perEntry = lengths.flatMap((length, row) => Array.from({ length }, (_, k) => row * 100 + k));
  const perRow = lengths.map((_, row) => row);
  return {
    count: lengths.length,
    width: 4096,
    indptr,
    indices: Uint32Array.from(perEntry),
    values: Float32Array.from(perEntry),
    steps: Uint32Array.from(perRow),
    stops: Uint8Array.from(perRow),
    residualNorms: Float32Array.from(perRow),
    relativeErrors: Float32Array.from(perRow),
    ...(withNorm && { norm: { shift: Float32Array.from(perRow), scale: Float32Array.from(perRow) } }),
    trace: {
      indptr,
      indices: Uint32Array.from(perEntry),
      values: Float32Array.from(perEntry),
      residualNorms: Float32Array.from(perEntry),
    },
    reconstruction: Float32Array.from(perRow.flatMap((row) => [row, row, row])),
  };
}

describe("codes of a batch", () => {
  it("cut into parts and joined again are the same codes", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 5 }), { minLength: 1, maxLength: 12 }),
        fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1 }),
        fc.boolean(),
        (lengths, cuts, withNorm) => {
          const codes = codesOf(lengths, withNorm);
          const parts: SparseCodes[] = [];
          for (let from = 0, i = 0; from < lengths.length; i++) {
            const to = Math.min(lengths.length, from + cuts[i % cuts.length]!);
            parts.push(sliceCodes(codes, { from, to, trace: true, reconstruction: true }));
            from = to;
          }
          expect(joinCodes(parts)).toEqual(codes);
        },
      ),
    );
  });

  it("leave out what a request did not ask for", () => {
    const part = sliceCodes(codesOf([2, 1], false), { from: 1, to: 2, trace: false, reconstruction: false });
    expect(part.trace).toBeUndefined();
    expect(part.reconstruction).toBeUndefined();
    expect([...part.indices]).toEqual([100]);
    expect([...part.indptr]).toEqual([0, 1]);
  });
});
