import { describe, expect, it } from "vitest";
import { placeAtoms, plainResidual, sharedResidual } from "../../../../src/engine/runtime/kernel/atom-residual.ts";
import { normals } from "../../../support/seeded.ts";

/** By plain sums, in the order of the entries. */
function subtracted(x: Float32Array, atoms: Float32Array, indices: Uint32Array, values: Float32Array): Float64Array {
  const row = Float64Array.from(x);
  for (const [k, j] of indices.entries()) {
    for (let c = 0; c < row.length; c++) row[c]! -= values[k]! * atoms[j * row.length + c]!;
  }
  return row;
}

// Widths that the kernel takes, and one that it does not.
describe.each([4, 20, 64, 30])("a residual over atoms of width %i", (d) => {
  const m = 50;
  const atoms = normals(m * d, 1);
  const { weights, shared } = placeAtoms({ atoms, m, d, center: null }, 2);
  // The second thread's.
  const residual = shared === null ? plainResidual(weights) : sharedResidual(shared, 1);

  it("is the kernel's where d is a multiple of 4", () => {
    expect(shared === null).toBe(d % 4 !== 0);
  });

  it("leaves the atoms as they were", () => {
    expect(weights.atoms).toEqual(atoms);
  });

  it.each([0, 1, 3, 4, 9])("subtracts %i atoms, and sums squares", (count) => {
    const x = normals(d, 2);
    const indices = Uint32Array.from({ length: count }, (_, k) => (k * 17) % m);
    const values = normals(count, 3);
    const wanted = subtracted(x, atoms, indices, values);
    const energy = wanted.reduce((sum, value) => sum + value * value, 0);
    residual.place(x, 0);
    residual.subtractAll(indices, values);
    for (const [c, value] of wanted.entries()) expect(residual.row[c]).toBeCloseTo(value, 12);
    expect(residual.energy() / energy).toBeCloseTo(1, 12);
    residual.row.set(x);
    for (const [k, j] of indices.entries()) residual.subtract(j, values[k]!);
    for (const [c, value] of wanted.entries()) expect(residual.row[c]).toBeCloseTo(value, 12);
  });
});
