import { describe, expect, it } from "vitest";
import type { EncodeBatch } from "../../../../src/engine/core/encode-batch.ts";
import type { PursuitWeights } from "../../../../src/engine/core/dictionary-weights.ts";
import { finishCodes, type PursuitRun } from "../../../../src/engine/runtime/sessions/finish-codes.ts";
import { prepareRows } from "../../../../src/engine/runtime/sessions/prepare-rows.ts";
import { type SparseCodes, STOP_REASONS, type StopReason } from "../../../../src/engine/core/sparse-codes.ts";
import { batchOf } from "../../../support/batch.ts";
import { manifestOf } from "../../../support/model-folder.ts";

type Step = readonly [index: number, value: number, energy: number];

const D = 2;
const atoms = Float32Array.of(1, 0, 0, 1, 0.6, 0.8);
const weights = (center: Float32Array | null = null): PursuitWeights => ({
  kind: "matching_pursuit",
  d: D,
  m: 3,
  atoms,
  center,
  settings: { ...manifestOf("a", { atoms, d: D }).encoder, center: center !== null },
});

/** The run of a graph that made these steps, values and energies given in pursuit space. */
function finish(
  rows: readonly number[],
  steps: readonly (readonly Step[])[],
  stops: readonly StopReason[],
  more: { center?: Float32Array; batch?: Partial<EncodeBatch>; dictionary?: Partial<PursuitWeights> } = {},
): SparseCodes {
  const dictionary = { ...weights(more.center ?? null), ...more.dictionary };
  const batch = { ...batchOf(Float32Array.from(rows), dictionary.d, {}), ...more.batch };
  const prepared = prepareRows(batch, dictionary);
  const length = Math.max(1, ...steps.map((row) => row.length)) + 1;
  const run: PursuitRun = {
    // What lies behind a row's last step is meaningless, so it is made to hurt whoever reads it.
    indices: new BigInt64Array(length * prepared.count).fill(2n),
    values: new Float32Array(length * prepared.count).fill(Number.NaN),
    energies: new Float32Array(length * prepared.count).fill(Number.NaN),
    steps: new Int32Array(prepared.count),
    stops: new Int32Array(prepared.count),
  };
  for (const [i, row] of steps.entries()) {
    run.steps[i] = row.length;
    run.stops[i] = STOP_REASONS.indexOf(stops[i]!);
    for (const [t, [index, value, energy]] of row.entries()) {
      const at = t * prepared.count + i;
      run.indices[at] = BigInt(index);
      run.values[at] = value / prepared.unscale[i]!;
      run.energies[at] = energy / prepared.unscale[i]! ** 2;
    }
  }
  return finishCodes(run, prepared, batch, dictionary);
}

const rowOf = ({ indptr, indices, values }: SparseCodes, i: number): unknown => [
  [...indices.subarray(indptr[i], indptr[i + 1])],
  [...values.subarray(indptr[i], indptr[i + 1])],
];

describe("finishCodes", () => {
  it("puts atoms in ascending order, and keeps the trace as it was", () => {
    const codes = finish(
      [3, 8],
      [
        [
          [2, 8, 4],
          [0, 1, 3],
          [1, 1.5, 0],
        ],
      ],
      ["max_atoms"],
    );
    expect(rowOf(codes, 0)).toEqual([
      [0, 1, 2],
      [1, 1.5, 8],
    ]);
    expect([...codes.trace!.indices]).toEqual([2, 0, 1]);
    expect([...codes.trace!.values]).toEqual([8, 1, 1.5]);
    expect([...codes.trace!.residualNorms!]).toEqual([2, Math.fround(Math.sqrt(3)), 0]);
    expect([codes.steps[0], STOP_REASONS[codes.stops[0]!]]).toEqual([3, "max_atoms"]);
  });

  it("makes one entry of an atom selected twice, and none of one that sums to zero", () => {
    const codes = finish(
      [3, 8],
      [
        [
          [1, 8, 9],
          [0, 2, 1],
          [1, 0.5, 1],
          [0, -2, 1],
        ],
      ],
      ["no_gain"],
    );
    expect(rowOf(codes, 0)).toEqual([[1], [8.5]]);
    expect(codes.steps[0]).toBe(4);
    expect(codes.trace!.indices).toHaveLength(4);
  });

  it("keeps the rows of a batch apart, empty ones too", () => {
    const codes = finish([0, 0, 5, 0, 0, 7], [[], [[0, 5, 0]], [[1, 7, 0]]], ["tolerance", "no_gain", "min_gain"]);
    expect([0, 1, 2].map((i) => rowOf(codes, i))).toEqual([
      [[], []],
      [[0], [5]],
      [[1], [7]],
    ]);
    expect([...codes.stops].map((stop) => STOP_REASONS[stop])).toEqual(["tolerance", "no_gain", "min_gain"]);
    expect([...codes.trace!.indptr]).toEqual([0, 0, 1, 2]);
    expect(codes).toMatchObject({ count: 3, width: 3 });
  });

  it("takes the residual anew from the row and its code, whatever the run says of it", () => {
    const codes = finish([3, 4], [[[0, 3, 1e-9]]], ["tolerance"]);
    expect(codes.residualNorms![0]).toBe(4);
    expect(codes.relativeErrors![0]).toBe(Math.fround(0.8));
  });

  it("measures in pursuit space and reconstructs in the rows'", () => {
    const codes = finish([13, 4], [[[0, 3, 16]]], ["max_atoms"], {
      center: Float32Array.of(10, 0),
      batch: { reconstruction: true },
    });
    expect(codes.residualNorms![0]).toBe(4);
    expect([...codes.reconstruction!]).toEqual([13, 0]);
  });

  it("undoes the input norm in the reconstruction", () => {
    const settings = { ...weights().settings, inputNorm: "constant_norm_rescale" as const };
    // (30, 40) is normed to √2 · (0.6, 0.8).
    const codes = finish([30, 40], [[[2, Math.SQRT2, 0]]], ["no_gain"], {
      batch: { reconstruction: true },
      dictionary: { settings },
    });
    expect(codes.reconstruction![0]).toBeCloseTo(30, 4);
    expect(codes.reconstruction![1]).toBeCloseTo(40, 4);
    expect(codes.norm!.scale[0]).toBeCloseTo(50 / Math.SQRT2, 4);
  });

  it("calls a row that is its centre explained", () => {
    const codes = finish([10, 1], [[]], ["no_gain"], { center: Float32Array.of(10, 1) });
    expect([codes.residualNorms![0], codes.relativeErrors![0]]).toEqual([0, 0]);
  });

  it("leaves out what was not asked for", () => {
    const codes = finish([3, 4], [[[0, 3, 16]]], ["max_atoms"], { batch: { trace: false } });
    expect(codes.trace).toBeUndefined();
    expect(codes.reconstruction).toBeUndefined();
    expect(codes.norm).toBeUndefined();
  });

  it.each([
    ["a value", [1, 3.5e38, 1]],
    ["a norm", [1, 1, Infinity]],
    ["what is no number", [1, Number.NaN, Number.NaN]],
  ] as const)("ends a row before %s that float32 cannot hold", (_what, step) => {
    const codes = finish([3, 4], [[[0, 3, 16], step, [0, 1, 1]]], ["max_atoms"]);
    expect(rowOf(codes, 0)).toEqual([[0], [3]]);
    expect([codes.steps[0], STOP_REASONS[codes.stops[0]!]]).toEqual([1, "no_gain"]);
  });

  it("tells the norm of a row that is longer than float32 reaches as the largest that there is", () => {
    const codes = finish([3e38, 3e38], [[]], ["max_atoms"]);
    expect(codes.residualNorms![0]).toBe(3.4028234663852886e38);
    expect(codes.relativeErrors![0]).toBe(1);
  });
});
