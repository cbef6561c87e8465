import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Budget } from "../../../../src/engine/core/budget.ts";
import type { PursuitSettings } from "../../../../src/engine/core/dictionary.ts";
import { type PreparedRows, prepareRows } from "../../../../src/engine/runtime/sessions/prepare-rows.ts";
import { batchOf } from "../../../support/batch.ts";
import { manifestOf } from "../../../support/model-folder.ts";

interface Given {
  readonly d: number;
  readonly budget?: Budget | readonly Budget[];
  readonly center?: readonly number[];
  readonly settings?: Partial<PursuitSettings>;
}

function prepare(rows: readonly number[], { d, budget = {}, center, settings = {} }: Given): PreparedRows {
  return prepareRows(batchOf(Float32Array.from(rows), d, budget), {
    d,
    center: center ? Float32Array.from(center) : null,
    settings: { ...manifestOf("a", { atoms: new Float32Array(d), d }).encoder, ...settings },
  });
}

const finite = fc.float({ noNaN: true, noDefaultInfinity: true });

describe("prepareRows", () => {
  it("scales each row by a power of two, exactly, to a largest magnitude in [1, 2)", () => {
    fc.assert(
      fc.property(fc.array(finite, { minLength: 3, maxLength: 3 }), (row) => {
        const { scaled, unscale, energy } = prepare(row, { d: 3 });
        expect(Number.isInteger(Math.log2(unscale[0]!))).toBe(true);
        for (const [k, value] of row.entries()) {
          const apart = Math.abs(scaled[k]! * unscale[0]! - value);
          // Only what is 2^126 times smaller than the row's largest number may lose digits, to float32's last place.
          const exact = value === 0 || Math.abs(value) / unscale[0]! >= 2 ** -126;
          expect(apart).toBeLessThanOrEqual(exact ? 0 : 2 ** -149 * unscale[0]!);
        }
        const largest = Math.max(...scaled.subarray(0, 3).map(Math.abs));
        expect(largest === 0 || (largest >= 1 && largest < 2)).toBe(true);
        expect(energy[0]).toBe(scaled.subarray(0, 3).reduce((sum, value) => sum + value * value, 0));
      }),
      {
        seed: 1,
        examples: [[[0, 0, 0]], [[2 ** -149, 0, 0]], [[3.4028234663852886e38, -1, 0]], [[4, 1, 1]], [[-8, 0, 0]]],
      },
    );
  });

  it("leaves the batch's rows as they are", () => {
    const rows = Float32Array.of(3, 4, 5, 6);
    const batch = batchOf(rows, 2, {});
    const settings = { ...manifestOf("a", { atoms: rows, d: 2 }).encoder, inputNorm: "layer_norm" as const };
    prepareRows(batch, { d: 2, center: Float32Array.of(1, 1), settings });
    expect([...rows]).toEqual([3, 4, 5, 6]);
  });

  it("gives a single row a companion that ends at once", () => {
    const { count, scaled, maxAtoms } = prepare([3, 4], { d: 2, budget: { maxAtoms: 7 } });
    expect(count).toBe(2);
    expect([...scaled]).toEqual([1.5, 2, 0, 0].map((value) => value / 2));
    expect([...maxAtoms]).toEqual([7, 0]);
    expect(prepare([1, 2, 3], { d: 1 }).count).toBe(3);
  });

  it("subtracts the centre after the input norm", () => {
    const { scaled, unscale } = prepare([3, 4], { d: 2, center: [1, -4] });
    expect([...scaled.subarray(0, 2)].map((value) => value * unscale[0]!)).toEqual([2, 8]);
    const normed = prepare([30, 40], { d: 2, center: [0.5, 0.5], settings: { inputNorm: "constant_norm_rescale" } });
    const [a, b] = [...normed.scaled.subarray(0, 2)].map((value) => value * normed.unscale[0]!);
    expect(a).toBeCloseTo(0.6 * Math.SQRT2 - 0.5, 6);
    expect(b).toBeCloseTo(0.8 * Math.SQRT2 - 0.5, 6);
  });

  it("turns limits into squared ones of the scaled row, and leaves absent ones off", () => {
    // (6, 8) is scaled by 8: energy 100 / 64.
    const given = { tolerance: 0.5, residualNorm: 4, minGain: 0.25 };
    const { energy, tolerance, residual, minEnergy, threshold } = prepare([6, 8, 6, 8], { d: 2, budget: [given, {}] });
    expect(energy[0]).toBe(100 / 64);
    expect([...tolerance]).toEqual([0.25 * (100 / 64), -1]);
    expect([...residual]).toEqual([16 / 64, -1]);
    expect([...minEnergy]).toEqual([0.25 * (100 / 64), -Infinity]);
    expect([...threshold]).toEqual([-1, -1]);
    expect(prepare([6, 8], { d: 2, settings: { residualThreshold: 2 } }).threshold[0]).toBe(4 / 64);
  });

  it("meets a tolerance of 1 and more at once", () => {
    expect(prepare([6, 8], { d: 2, budget: { tolerance: 1 } }).tolerance[0]).toBe(Infinity);
  });

  it("norms a layer by mean and n − 1 deviation, and says how to undo it", () => {
    const { scaled, unscale, norm } = prepare([1, 2, 3, 6], { d: 4, settings: { inputNorm: "layer_norm" } });
    const std = Math.sqrt((4 + 1 + 0 + 9) / 3);
    for (const [k, x] of [1, 2, 3, 6].entries()) {
      expect(scaled[k]! * unscale[0]!).toBeCloseTo((x - 3) / (std + 1e-5), 6);
    }
    expect(norm).toEqual({ shift: Float32Array.of(3), scale: Float32Array.of(std) });
  });

  it("norms rows without deviation or length to zeros, not to NaN", () => {
    const layer = prepare([5, 5, 5], { d: 3, settings: { inputNorm: "layer_norm" } });
    expect([...layer.scaled.subarray(0, 3)]).toEqual([0, 0, 0]);
    expect(layer.norm).toEqual({ shift: Float32Array.of(5), scale: Float32Array.of(0) });
    expect([...prepare([7], { d: 1, settings: { inputNorm: "layer_norm" } }).scaled.subarray(0, 1)]).toEqual([0]);
    const constant = prepare([0, 0], { d: 2, settings: { inputNorm: "constant_norm_rescale" } });
    expect(constant.norm).toEqual({ shift: Float32Array.of(0), scale: Float32Array.of(1) });
    expect([...constant.scaled.subarray(0, 2)]).toEqual([0, 0]);
  });

  it("rescales to a norm of √d whatever the row's own, and says how to undo it", () => {
    fc.assert(
      fc.property(fc.array(finite, { minLength: 4, maxLength: 4 }), (row) => {
        fc.pre(row.some((value) => Math.abs(value) > 1e-30));
        const { energy, unscale, norm } = prepare(row, { d: 4, settings: { inputNorm: "constant_norm_rescale" } });
        expect(Math.sqrt(energy[0]!) * unscale[0]!).toBeCloseTo(2, 5);
        const length = Math.hypot(...row);
        expect(Math.abs(norm!.scale[0]! * 2 - length)).toBeLessThanOrEqual(1e-6 * length);
      }),
      { seed: 2 },
    );
  });
});
