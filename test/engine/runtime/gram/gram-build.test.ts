import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import type { Progress } from "../../../../src/engine/runtime/process/encoder-session.ts";
import { createArena } from "../../../../src/engine/runtime/kernel/arena.ts";
import { GramBuild } from "../../../../src/engine/runtime/gram/gram-build.ts";
import { GramCache } from "../../../../src/engine/runtime/gram/gram-cache.ts";
import { randomAtoms } from "../../../support/seeded.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

const D = 3;
const M = 150;
const atoms = randomAtoms(M, D, 1);

interface Built {
  readonly gram: GramBuild;
  /** Rows of each product that was made. */
  readonly products: readonly number[];
}

/**
 * A build whose matrix products are made here, and whose matrix is always worth keeping.
 * @param each milliseconds that a row of a product takes
 */
function build(cache: GramCache, each = 0): Built {
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
    cache,
    worthKeeping: 0,
    now: () => now,
  });
  return { gram, products };
}

/** Steps until there are no more; what they said. */
async function finish(gram: GramBuild): Promise<string[]> {
  const notes: string[] = [];
  for (let next: Progress["next"] = "disk"; next !== null;) {
    const progress = await gram.step();
    if (progress.note !== undefined) notes.push(progress.note);
    ({ next } = progress);
  }
  return notes;
}

it("keeps what took long, and reads it at the next start instead of computing it", async () => {
  const folder = temporaryFolder();
  const first = build(new GramCache(folder, "a1"));
  expect(await finish(first.gram)).toEqual([expect.stringContaining("The Gram matrix of 150 atoms is complete")]);
  const second = build(new GramCache(folder, "a1"));
  expect(await finish(second.gram)).toEqual(["The Gram matrix was read from the cache."]);
  expect([second.products, second.gram.complete]).toEqual([[], true]);
  expect(second.gram.coherence).toEqual(first.gram.coherence);
});

it("is complete, and says why it is not kept, where the cache folder cannot be written", async () => {
  const file = join(temporaryFolder(), "no-folder");
  await writeFile(file, "");
  const { gram } = build(new GramCache(file, "a1"));
  const [note] = await finish(gram);
  expect(note).toMatch(/is complete: .* It could not be kept for the next start: .*no-folder/);
  expect(gram.complete).toBe(true);
  expect(await gram.step()).toEqual({ next: null });
});

it("computes for as long whatever a row takes, and never one row alone", async () => {
  const rowsAt = async (each: number): Promise<readonly number[]> => {
    const { gram, products } = build(new GramCache(temporaryFolder(), "a1"), each);
    await finish(gram);
    return products;
  };
  expect(await rowsAt(0.5)).toEqual([8, ...Array.from({ length: 7 }, () => 20), 2]);
  expect(await rowsAt(0)).toEqual([8, 32, 110]);
  // 109 rows in 10 ms, and one would be left over.
  expect(await rowsAt(0.0917)).toEqual([8, 32, 110]);
  expect(await rowsAt(100)).toEqual([...Array.from({ length: 18 }, () => 8), 6]);
});

it.each([2, 4])("leaves no file when it is stopped after %i steps, and does nothing afterwards", async (steps) => {
  const folder = temporaryFolder();
  const { gram, products } = build(new GramCache(folder, "a1"));
  for (let i = 0; i < steps; i++) expect((await gram.step()).next).not.toBeNull();
  await gram.stop();
  const made = products.length;
  expect(await gram.step()).toEqual({ next: null });
  expect(products).toHaveLength(made);
  expect(await readdir(folder, { recursive: true })).toEqual(steps === 2 ? [] : ["gram"]);
});
