import { describe, expect, it } from "vitest";
import { atomNorms } from "../../../../src/engine/core/dictionary-weights.ts";
import { coherenceOf, freeMemory, gramMatrix, nearestAtoms } from "../../../../src/engine/runtime/gram/gram.ts";
import { randomAtoms } from "../../../support/seeded.ts";

const D = 5;
const M = 37;
const atoms = randomAtoms(M, D, 1, 1.5);
const dictionary = { atoms, m: M, d: D };
const dot = (i: number, j: number): number =>
  Array.from({ length: D }, (_, c) => atoms[i * D + c]! * atoms[j * D + c]!).reduce((a, b) => a + b, 0);

describe("the Gram matrix", () => {
  it("holds the product of every two atoms", async () => {
    const gram = await gramMatrix(dictionary, { runtime: "cpu", threads: 1 });
    expect(gram).toHaveLength(M * M);
    for (let i = 0; i < M; i++) {
      for (let j = 0; j < M; j++) expect(Math.abs(gram[i * M + j]! - dot(i, j))).toBeLessThan(2e-6);
    }
  });

  it("is put together from blocks where it is too large for one", async () => {
    // 2^24 / 5,000 rows a block: the 5,000 rows take two.
    const m = 5000;
    const axes = Float32Array.from({ length: m * 2 }, (_, i) => (i % 2 === 0 ? (i / 2) % 7 : 1));
    const gram = await gramMatrix({ atoms: axes, m, d: 2 }, { runtime: "cpu", threads: 1 });
    for (const i of [0, 3354, 3355, 3356, 4999]) {
      for (const j of [0, 1, 3355, 4999]) expect(gram[i * m + j]).toBe((i % 7) * (j % 7) + 1);
    }
  });
});

describe("coherenceOf", () => {
  it("finds the largest cosine of two different atoms, negative ones counted", () => {
    // Atoms (1, 0), (0, 2), (−3, −3): cosines 0, −0.707, −0.707.
    const gram = Float32Array.of(1, 0, -3, 0, 4, -6, -3, -6, 18);
    const { maxCosine, minNorm, maxNorm } = coherenceOf(Float64Array.of(1, 2, Math.sqrt(18)), gram);
    expect(maxCosine).toBeCloseTo(Math.SQRT1_2, 6);
    expect([minNorm, maxNorm]).toEqual([1, Math.sqrt(18)]);
  });

  it("never passes 1, however the product was rounded", () => {
    const gram = Float32Array.of(1, 1.0000001, 1.0000001, 1);
    expect(coherenceOf(Float64Array.of(1, 1), gram).maxCosine).toBe(1);
  });

  it("is not known without a Gram matrix, and not defined for a single atom", () => {
    expect(coherenceOf(Float64Array.of(1, 1), null).maxCosine).toBeNull();
    expect(coherenceOf(Float64Array.of(2), Float32Array.of(4)).maxCosine).toBeNull();
  });
});

describe("nearestAtoms", () => {
  it("puts the nearest by cosine first, leaves the atom itself out, and ties in order", () => {
    const axes = Float32Array.of(1, 0, 5, 0, 0, 1, -1, 0, 1, 1, 2, 2);
    const near = nearestAtoms(
      { atoms: axes, m: 6, d: 2 },
      atomNorms({ atoms: axes, m: 6, d: 2 }),
      axes.subarray(0, 2),
      4,
      0,
    );
    expect(near.map(({ index }) => index)).toEqual([1, 4, 5, 2]);
    expect(near[0]!.cosine).toBe(1);
    expect(near[1]!.cosine).toBeCloseTo(Math.SQRT1_2, 12);
  });

  it("gives what there is when more is asked for", () => {
    const one = { atoms: Float32Array.of(1), m: 1, d: 1 };
    expect(nearestAtoms(one, Float64Array.of(1), one.atoms, 10, 0)).toEqual([]);
  });

  it("finds those near a vector that is no atom, and none near a zero one", () => {
    const axes = { atoms: Float32Array.of(1, 0, 0, 0, 0, 3), m: 3, d: 2 };
    const norms = atomNorms(axes);
    expect(nearestAtoms(axes, norms, Float32Array.of(1, 2), 5).map(({ index }) => index)).toEqual([2, 0]);
    expect(nearestAtoms(axes, norms, new Float32Array(2), 5)).toEqual([]);
  });
});

it("leaves nothing of an array, whole or part of a buffer", () => {
  const whole = new Float32Array(1 << 20).fill(1);
  freeMemory(whole);
  expect(whole.length).toBe(0);
  expect(whole.buffer.byteLength).toBe(0);
  const part = new Float32Array(1 << 20).subarray(8, 16);
  freeMemory(part);
  expect(part.buffer.byteLength).toBe(0);
});

it("gives the memory back at once", () => {
  const before = process.memoryUsage().arrayBuffers;
  for (let i = 0; i < 100; i++) freeMemory(new Float32Array(1 << 20));
  // 400 MiB came and went.
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(100 * 2 ** 20);
});
