/** Direction edits against the formulas of those who named them, and the delta against decode. */
import { describe, expect, it } from "vitest";
import type { DirectionEdit } from "../../../../src/engine/core/edits.ts";
import { decodeCodes } from "../../../../src/engine/runtime/sessions/decode-codes.ts";
import { steerRows } from "../../../../src/engine/runtime/sessions/steer-rows.ts";
import type { CodeDelta } from "../../../../src/engine/core/steer-batch.ts";
import { directionColumns, rowMask } from "../../../../src/engine/serving/steering/edit-codes.ts";
import { normals } from "../../../support/seeded.ts";

const D = 12;
const M = 20;
const COUNT = 5;
const atoms = normals(M * D, 1).map((value) => value * 0.4);
const center = normals(D, 2);
const rows = normals(COUNT * D, 3);
const vector = [...normals(D, 4)];
const row = (data: Float32Array, i: number): number[] => [...data.subarray(i * D, (i + 1) * D)];
const dot = (a: readonly number[], b: readonly number[]): number => a.reduce((sum, value, c) => sum + value * b[c]!, 0);
const unit = (v: readonly number[]): number[] => v.map((value) => value / Math.hypot(...v));
const none: CodeDelta = { indptr: new Uint32Array(COUNT + 1), indices: new Uint32Array(), values: new Float64Array() };

function steer(edits: readonly DirectionEdit[], delta = none, only?: readonly number[], posted = rows) {
  const count = posted.length / D;
  const directions = directionColumns(edits, D, rowMask(edits, only, count));
  return steerRows({ rows: posted, count, delta, directions }, { atoms, center, d: D, m: M });
}

function expectRows(found: Float32Array, expected: (x: number[], i: number) => number[]): void {
  for (let i = 0; i < COUNT; i++) {
    for (const [c, value] of expected(row(rows, i), i).entries()) expect(found[i * D + c]).toBeCloseTo(value, 5);
  }
}

describe("steerRows", () => {
  it("SIMPLE_ADDITIVE: h + c v, by add_direction of c ||v||", () => {
    const c = 1.75;
    const { rows: found } = steer([{ op: "add_direction", vector, strength: c * Math.hypot(...vector) }]);
    expectRows(found, (h) => h.map((value, k) => value + c * vector[k]!));
  });

  it("SIMPLE_ADDITIVE, normalised: h + c v/||v||, by add_direction of c", () => {
    const { rows: found } = steer([{ op: "add_direction", feature: 3, strength: -0.5 }]);
    expectRows(found, (h) => h.map((value, k) => value - 0.5 * unit(row(atoms, 3))[k]!));
  });

  it.each([0, 1, -1, 2.5])("ORTHOGONAL_DECOMP: h + (c − 1)(h·v̂)v̂ with c = %d, by project_out of 1 − c", (c) => {
    const { rows: found } = steer([{ op: "project_out", vector, strength: 1 - c }]);
    const v = unit(vector);
    expectRows(found, (h) => h.map((value, k) => value + (c - 1) * dot(h, v) * v[k]!));
  });

  it.each([
    [-0.2, 0.3],
    [undefined, 0],
    [0.5, undefined],
  ])("PROJECTION_CAP: h·v̂ brought into [%s, %s], by project_cap", (min, max) => {
    const edit = {
      op: "project_cap",
      vector,
      ...(min !== undefined && { min }),
      ...(max !== undefined && { max }),
    } as const;
    const { rows: found, before, after } = steer([edit]);
    const v = unit(vector);
    expectRows(found, (h) => {
      const p = dot(h, v);
      return h.map((value, k) => value + (Math.min(Math.max(p, min ?? -Infinity), max ?? Infinity) - p) * v[k]!);
    });
    for (let i = 0; i < COUNT; i++) {
      expect(before[i]).toBeCloseTo(dot(row(rows, i), v), 10);
      expect(dot(row(found, i), v)).toBeCloseTo(after[i]!, 5);
    }
  });

  it("project_out takes the whole component if it is not told how much", () => {
    const { rows: found } = steer([{ op: "project_out", feature: 7 }]);
    for (let i = 0; i < COUNT; i++) expect(dot(row(found, i), row(atoms, 7))).toBeCloseTo(0, 5);
  });

  it("takes a relative strength in norms of the posted row", () => {
    const { norms } = steer([
      { op: "add_direction", vector, strength: 100, relative: false },
      { op: "add_direction", vector, strength: -100 },
      { op: "add_direction", vector, strength: 0.25, relative: true },
    ]);
    for (let i = 0; i < COUNT; i++) expect(norms[i]).toBeCloseTo(0.25 * Math.hypot(...row(rows, i)), 4);
  });

  it("makes directions in order, on the running row, after the delta", () => {
    const delta = { indptr: Uint32Array.of(0, 1, 1, 1, 1, 1), indices: Uint32Array.of(7), values: Float64Array.of(2) };
    const { rows: found } = steer(
      [
        { op: "project_out", feature: 7 },
        { op: "add_direction", feature: 2, strength: 1 },
      ],
      delta,
    );
    const u = unit(row(atoms, 7));
    expectRows(found, (h) => h.map((value, k) => value - dot(h, u) * u[k]! + unit(row(atoms, 2))[k]!));
  });

  it("adds decode(z') − decode(z), the centre and the shift gone, the scale not", () => {
    const norm = { shift: Float32Array.of(3, 3, 3, 3, 3), scale: Float32Array.of(0.5, 1, 2, 4, 8) };
    const code = (values: number[]) => ({
      count: COUNT,
      indptr: Uint32Array.of(0, 2, 2, 4, 4, 4),
      indices: Uint32Array.of(1, 9, 4, 9),
      values: Float32Array.from(values),
      norm,
    });
    const z = decodeCodes(code([1, 2, 3, 4]), { atoms, center, d: D, m: M });
    const edited = decodeCodes(code([1.5, 0, 3, -1]), { atoms, center, d: D, m: M });
    const { rows: found, norms } = steer([], {
      indptr: Uint32Array.of(0, 2, 2, 3, 3, 3),
      indices: Uint32Array.of(1, 9, 9),
      values: Float64Array.of(0.5, -2, -5),
      scale: norm.scale,
    });
    expectRows(found, (h, i) => h.map((value, k) => value + edited[i * D + k]! - z[i * D + k]!));
    expect(norms[2]).toBeCloseTo(5 * 2 * Math.hypot(...row(atoms, 9)), 4);
  });

  it("copies a row that nothing changes bit for bit, its negative zeros too", () => {
    const posted = Float32Array.from(rows);
    posted[0] = -0;
    posted[1] = 1e-45;
    const within = steer(
      [
        { op: "project_cap", vector, min: -1e9, max: 1e9 },
        { op: "add_direction", vector, strength: 0 },
      ],
      none,
      undefined,
      posted,
    );
    const masked = steer([{ op: "add_direction", vector, strength: 9 }], none, [1, 3], posted);
    const bits = (data: Float32Array, i: number): Uint8Array => new Uint8Array(data.slice(i * D, (i + 1) * D).buffer);
    for (let i = 0; i < COUNT; i++) expect(bits(within.rows, i)).toEqual(bits(posted, i));
    for (const i of [0, 2, 4]) {
      expect(bits(masked.rows, i)).toEqual(bits(posted, i));
      expect([masked.norms[i], masked.before[i]]).toEqual([0, NaN]);
    }
    for (const i of [1, 3]) expect(masked.norms[i]).toBeCloseTo(9, 4);
  });
});
