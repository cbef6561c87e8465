import { expect, it } from "vitest";
import { createArena } from "../../../../src/engine/runtime/kernel/arena.ts";
import { GramBuild } from "../../../../src/engine/runtime/gram/gram.ts";
import { randomAtoms } from "../../../support/seeded.ts";

const D = 3;
const M = 150;
const atoms = randomAtoms(M, D, 1);

interface Built {
  readonly gram: GramBuild;
  /** Rows of each product that was made. */
  readonly products: readonly number[];
}

/**
 * A build whose matrix products are made here.
 * @param each milliseconds that a row of a product takes
 */
function build(each = 0): Built {
  const products: number[] = [];
  let now = 0;
  const run = async (rows: Float32Array): Promise<Float32Array> => {
    const n = rows.length / D;
    products.push(n);
    now += n * each;
    return Float32Array.from({ length: n * M }, (_, at) => {
      const [i, j] = [Math.floor(at / M), at % M];
      let sum = 0;
      for (let c = 0; c < D; c++) sum += rows[i * D + c]! * atoms[j * D + c]!;
      return sum;
    });
  };
  const arena = createArena({ d: D, m: M, lanes: 1, slots: 8, gram: true });
  const gram = new GramBuild({
    weights: { atoms, m: M, d: D },
    arena,
    dense: { run },
    now: () => now,
  });
  return { gram, products };
}

/** Steps until there are no more; what they said. */
async function finish(gram: GramBuild): Promise<string[]> {
  const notes: string[] = [];
  for (let more = true; more;) {
    const progress = await gram.step();
    if (progress.note !== undefined) notes.push(progress.note);
    ({ more } = progress);
  }
  return notes;
}

it("is complete after its last rows, and then has nothing left to do", async () => {
  const { gram, products } = build();
  expect([gram.complete, gram.coherence.maxCosine]).toEqual([false, null]);
  expect(await finish(gram)).toEqual([]);
  expect(gram.complete).toBe(true);
  expect(gram.coherence.maxCosine).toBeGreaterThan(0);
  const made = products.length;
  expect(await gram.step()).toEqual({ more: false });
  expect(products).toHaveLength(made);
});

it("tells of its quarters and its end where it takes long", async () => {
  expect(await finish(build(100).gram)).toEqual([
    "The Gram matrix is being made: 27 %.",
    "The Gram matrix is being made: 53 %.",
    "The Gram matrix is being made: 80 %.",
    "The Gram matrix of 150 atoms is complete: 15.0 s of computing.",
  ]);
});

it("computes for as long whatever a row takes, and never one row alone", async () => {
  const rowsAt = async (each: number): Promise<readonly number[]> => {
    const { gram, products } = build(each);
    await finish(gram);
    return products;
  };
  expect(await rowsAt(0.5)).toEqual([8, ...Array.from({ length: 7 }, () => 20), 2]);
  expect(await rowsAt(0)).toEqual([8, 32, 110]);
  // 109 rows in 10 ms, and one would be left over.
  expect(await rowsAt(0.0917)).toEqual([8, 32, 110]);
  expect(await rowsAt(100)).toEqual([...Array.from({ length: 18 }, () => 8), 6]);
});
