import { describe, expect, it } from "vitest";
import type { PursuitWeights } from "../../../../src/engine/core/dictionary-weights.ts";
import { decodeCodes } from "../../../../src/engine/runtime/sessions/decode-codes.ts";
import { manifestOf } from "../../../support/model-folder.ts";
import { normals } from "../../../support/seeded.ts";

const atoms = Float32Array.of(1, 0, 0, 2, 3, 4);
const weights = (center: Float32Array | null = null): PursuitWeights => ({
  kind: "matching_pursuit",
  d: 2,
  m: 3,
  atoms,
  center,
  settings: manifestOf("a", { atoms, d: 2 }).encoder,
});
const codes = {
  count: 3,
  indptr: Uint32Array.of(0, 2, 2, 3),
  indices: Uint32Array.of(2, 0, 1),
  values: Float32Array.of(10, -1, 0.5),
};

describe("decodeCodes", () => {
  it("adds up the atoms of each code, of none too", () => {
    expect([...decodeCodes(codes, weights())]).toEqual([29, 40, 0, 0, 0, 1]);
  });

  it("adds the centre back", () => {
    expect([...decodeCodes(codes, weights(Float32Array.of(100, 200)))]).toEqual([129, 240, 100, 200, 100, 201]);
  });

  it("undoes the input norm after the centre", () => {
    const norm = { scale: Float32Array.of(2, 3, 4), shift: Float32Array.of(0.5, -1, 0) };
    const rows = decodeCodes({ ...codes, norm }, weights(Float32Array.of(1, 1)));
    expect([...rows]).toEqual([60.5, 82.5, 2, 2, 4, 8]);
  });

  it("sums in float64: a thousand atoms that cancel leave nothing behind", () => {
    const m = 1000;
    const values = normals(m, 1);
    const mirrored = Float32Array.from({ length: 2 * m }, (_, k) => (k < m ? values[k]! : -values[k - m]!));
    const one = { d: 1, m: 2 * m, atoms: new Float32Array(2 * m).fill(1e7), center: Float32Array.of(0.25) };
    const rows = decodeCodes(
      { count: 1, indptr: Uint32Array.of(0, 2 * m), indices: Uint32Array.from(mirrored.keys()), values: mirrored },
      { ...weights(), ...one },
    );
    expect(rows[0]).toBeCloseTo(0.25, 4);
  });
});
