import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { GramCache } from "../../../../src/engine/runtime/gram/gram-cache.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

const M = 5;
const MATRIX = Float32Array.from({ length: M * M }, (_, i) => i / 7);

async function write(cache: GramCache): Promise<void> {
  const writer = await cache.create(M);
  await writer.write(MATRIX.subarray(0, 2 * M));
  await writer.write(MATRIX.subarray(2 * M));
  await writer.finish();
}

async function read(cache: GramCache): Promise<number[] | null> {
  const reader = await cache.open(M);
  if (reader === null) return null;
  try {
    const rows = [...(await reader.read(3)), ...(await reader.read(2))];
    await reader.verify();
    return rows;
  } finally {
    await reader.close();
  }
}

const fileIn = async (folder: string): Promise<string> =>
  join(folder, "gram", (await readdir(join(folder, "gram")))[0]!);

it("gives back what was kept, and nothing for other weights or another size", async () => {
  const folder = temporaryFolder();
  const cache = new GramCache(folder, "a1");
  expect(await read(cache)).toBeNull();
  await write(cache);
  expect(await read(cache)).toEqual([...MATRIX]);
  expect(await read(new GramCache(folder, "b2"))).toBeNull();
  expect(await cache.open(M + 1)).toBeNull();
});

it("shows nothing before it is whole, and leaves nothing of what was given up", async () => {
  const folder = temporaryFolder();
  const cache = new GramCache(folder, "a1");
  const writer = await cache.create(M);
  await writer.write(MATRIX.subarray(0, M));
  expect(await cache.open(M)).toBeNull();
  await writer.discard();
  expect(await readdir(join(folder, "gram"))).toEqual([]);
});

it("clears away what a process that was killed left behind, of this matrix only", async () => {
  const folder = temporaryFolder();
  const cache = new GramCache(folder, "a1");
  const killed = await cache.create(M);
  await killed.write(MATRIX.subarray(0, M));
  const other = await new GramCache(folder, "b2").create(M);
  await write(cache);
  const left = await readdir(join(folder, "gram"));
  expect(left.toSorted().map((name) => name.slice(0, 2))).toEqual(["a1", "b2"]);
  expect(await read(cache)).toEqual([...MATRIX]);
  await killed.write(MATRIX.subarray(M));
  await expect(killed.finish()).rejects.toThrow("ENOENT");
  await killed.discard();
  await other.discard();
  expect(await readdir(join(folder, "gram"))).toHaveLength(1);
});

it("notices one wrong bit, and a file cut short", async () => {
  const folder = temporaryFolder();
  const cache = new GramCache(folder, "a1");
  await write(cache);
  const file = await fileIn(folder);
  const bytes = await readFile(file);
  bytes[17]! ^= 4;
  await writeFile(file, bytes);
  await expect(read(cache)).rejects.toThrow("its checksum does not fit");
  await writeFile(file, bytes.subarray(0, -1));
  expect(await read(cache)).toBeNull();
});

it("takes a folder that is not there for an empty one", async () => {
  const folder = temporaryFolder();
  await mkdir(join(folder, "gram"));
  expect(await read(new GramCache(join(folder, "nowhere"), "a1"))).toBeNull();
});
