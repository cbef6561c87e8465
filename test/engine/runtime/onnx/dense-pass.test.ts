import { expect, it } from "vitest";
import { DensePass } from "../../../../src/engine/runtime/onnx/dense-pass.ts";
import { normals } from "../../../support/seeded.ts";

const [n, d, m] = [3, 24, 50];
const weights = { m, d, atoms: normals(m * d, 1) };
const rows = normals(n * d, 3);

/** Rows · atomsᵀ, in float64. */
const expected = Array.from({ length: n * m }, (_, at) => {
  const [i, j] = [Math.floor(at / m), at % m];
  let sum = 0;
  for (let c = 0; c < d; c++) sum += rows[i * d + c]! * weights.atoms[j * d + c]!;
  return sum;
});

// Whole, in parts of which the last is smaller, and in parts of one atom.
it.each([Infinity, 4 * d * 16, 1])("multiplies by a matrix in parts of %d bytes", async (partBytes) => {
  let freed = 0;
  const dense = await DensePass.create(weights, { runtime: "cpu", threads: 1, partBytes }, () => freed++);
  expect(freed).toBe(1);
  const products = await dense.run(rows);
  expect(products).toHaveLength(n * m);
  for (const [at, value] of expected.entries()) expect(products[at]).toBeCloseTo(value, 4);
  const into = new Float32Array(n * m);
  await dense.run(rows, into);
  expect(into).toEqual(products);
  await dense.release();
});
