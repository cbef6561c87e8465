import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { createArena } from "../../../../src/engine/executor/kernel/arena.ts";
import { GramBuild } from "../../../../src/engine/executor/session/gram-build.ts";
import { GramCache } from "../../../../src/engine/executor/session/gram-cache.ts";
import { randomAtoms } from "../../../support/seeded.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

const D = 3;
const M = 150;
const atoms = randomAtoms(M, D, 1);

/** A build whose matrix products are made here, and whose matrix is always worth keeping. */
function build(cache: GramCache): { readonly gram: GramBuild; readonly products: () => number } {
  let products = 0;
  const run = async (rows: Float32Array): Promise<Float32Array> => {
    products++;
    const n = rows.length / D;
    return Float32Array.from({ length: n * M }, (_, at) => {
      const [i, j] = [Math.floor(at / M), at % M];
      let sum = 0;
      for (let c = 0; c < D; c++) sum += rows[i * D + c]! * atoms[j * D + c]!;
      return sum;
    });
  };
  const arena = createArena({ d: D, m: M, lanes: 1, slots: 8, gram: true });
  const gram = new GramBuild({ weights: { atoms, m: M, d: D }, arena, dense: { run }, cache, worthKeeping: 0 });
  return { gram, products: () => products };
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

it("keeps what took long, and reads it at the next start instead of computing it", async () => {
  const folder = temporaryFolder();
  const first = build(new GramCache(folder, "a1"));
  expect(await finish(first.gram)).toEqual([expect.stringContaining("The Gram matrix of 150 atoms is complete")]);
  const second = build(new GramCache(folder, "a1"));
  expect(await finish(second.gram)).toEqual(["The Gram matrix was read from the cache."]);
  expect([second.products(), second.gram.complete]).toEqual([0, true]);
  expect(second.gram.coherence).toEqual(first.gram.coherence);
});

it("is complete, and says why it is not kept, where the cache folder cannot be written", async () => {
  const file = join(temporaryFolder(), "no-folder");
  await writeFile(file, "");
  const { gram } = build(new GramCache(file, "a1"));
  const [note] = await finish(gram);
  expect(note).toMatch(/is complete: .* It could not be kept for the next start: .*no-folder/);
  expect(gram.complete).toBe(true);
  expect(await gram.step()).toEqual({ more: false });
});

it.each([1, 3])("leaves no file when it is stopped after %i steps, and does nothing afterwards", async (steps) => {
  const folder = temporaryFolder();
  const { gram, products } = build(new GramCache(folder, "a1"));
  for (let i = 0; i < steps; i++) expect(await gram.step()).toMatchObject({ more: true });
  await gram.stop();
  const made = products();
  expect(await gram.step()).toEqual({ more: false });
  expect(products()).toBe(made);
  expect(await readdir(folder, { recursive: true })).toEqual(steps === 1 ? [] : ["gram"]);
});
