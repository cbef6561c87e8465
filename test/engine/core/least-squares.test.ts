import { describe, expect, it } from "vitest";
import { LeastSquares } from "../../../src/engine/core/least-squares.ts";
import { leastSquares, nnls } from "../../support/orthogonal-oracle.ts";
import { normals, randomAtoms } from "../../support/seeded.ts";

const D = 32;
const squares = (x: Float32Array): number => x.reduce((sum, value) => sum + value * value, 0);
const rowsOf = (atoms: Float32Array, indices: readonly number[]): Float64Array[] =>
  indices.map((j) => new Float64Array(atoms.subarray(j * D, (j + 1) * D)));

describe.each([false, true])("least squares, non-negative %s", (nonNegative) => {
  const solve = nonNegative ? nnls : leastSquares;
  const atoms = randomAtoms(100, D, 1, 1.5);

  it("solves as the reference does after every selection, past its first room", () => {
    const x = normals(D, 2);
    const own = new LeastSquares({ atoms, d: D }, nonNegative);
    own.start(x, squares(x));
    const selected: number[] = [];
    for (let j = 0; j < 100 && selected.length < 70; j += 1) {
      const before = own.energy;
      if (own.add(j) !== "added") continue;
      selected.push(j);
      expect([...own.selected.subarray(0, own.size)]).toEqual(selected);
      expect(own.energy).toBeLessThanOrEqual(before);
      if (selected.length > 20) continue;
      const expected = solve(rowsOf(atoms, selected), new Float64Array(x));
      for (const [k, value] of expected.entries()) expect(own.coefficients[k]).toBeCloseTo(value, 8);
    }
    expect(own.residual(new Float64Array(D))).toBeCloseTo(own.energy, 8);
  });

  it("is as it was once a selection is taken back", () => {
    const x = normals(D, 3);
    const own = new LeastSquares({ atoms, d: D }, nonNegative);
    own.start(x, squares(x));
    for (const j of [5, 17, 40, 41, 60]) own.add(j);
    const [size, energy, coefficients] = [own.size, own.energy, own.coefficients.slice(0, own.size)];
    let next = 61;
    while (own.add(next) !== "added") next++;
    own.undo();
    expect([own.size, own.energy, own.coefficients.slice(0, own.size)]).toEqual([size, energy, coefficients]);
    expect(own.add(next)).toBe("added");
    const expected = solve(rowsOf(atoms, [...own.selected.subarray(0, own.size)]), new Float64Array(x));
    for (const [k, value] of expected.entries()) expect(own.coefficients[k]).toBeCloseTo(value, 8);
  });

  it("refuses an atom that it has already, and stays as it was", () => {
    const x = Float32Array.from(atoms.subarray(0, D), (value, c) => value + 0.1 * atoms[D + c]!);
    const own = new LeastSquares({ atoms, d: D }, nonNegative);
    own.start(x, squares(x));
    own.add(0);
    const energy = own.energy;
    expect(own.add(0)).toBe("dependent");
    expect([own.size, own.energy]).toEqual([1, energy]);
  });
});

describe("non-negative least squares", () => {
  it("has an atom at zero come back when a later one makes room for it", () => {
    // x = a₀ + a₁ / 2 + a₂: beside a₀ alone a₁ would be negative, with a₂ it is wanted again.
    const atoms = Float32Array.of(1, 0, 0, 0.8, 0.6, 0, 0.6, -0.7, 0.39);
    const x = Float32Array.of(2, -0.4, 0.39);
    const own = new LeastSquares({ atoms, d: 3 }, true);
    own.start(x, squares(x));
    expect([own.add(1), own.add(0)]).toEqual(["added", "added"]);
    expect(own.coefficients[0]).toBe(0);
    expect(own.add(2)).toBe("added");
    for (const [k, value] of [0.5, 1, 1].entries()) expect(own.coefficients[k]).toBeCloseTo(value, 6);
  });
});
