import { copyFile, mkdir, readFile, truncate, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { findRowFiles } from "../../src/bulk/find-files.ts";
import { BlockMemory, openRowFile, type RowChoice } from "../../src/bulk/row-file.ts";
import { npyBytes } from "../support/npy-bytes.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

/** 24 rows of 6 numbers in every format, as tools/fixtures/make_rows.py wrote them. */
const FIXTURES = fileURLToPath(new URL("../fixtures/rows/", import.meta.url));
const [N, D] = [24, 6];
const ROWS = Array.from({ length: N }, (_, i) => Array.from({ length: D }, (__, j) => (i * D + j - 70) / 4));
const folder = temporaryFolder();

async function read(path: string, choice: RowChoice = {}, [from, to, most] = [0, Infinity, 5], memory?: BlockMemory) {
  const file = await openRowFile(path, choice);
  try {
    const rows: number[][] = [];
    for await (const { data, count, width } of file.blocks(from, Math.min(to, file.count), most, memory)) {
      expect(count).toBeLessThanOrEqual(most);
      expect(data).toHaveLength(count * width);
      for (let i = 0; i < count; i++) rows.push(Array.from(data.subarray(i * width, (i + 1) * width)));
    }
    return { count: file.count, width: file.width, rows };
  } finally {
    await file.close();
  }
}

const EVERY: readonly (readonly [name: string, choice: RowChoice])[] = [
  ["rows.npy", {}],
  ["fortran.npy", {}],
  ["half.npy", {}],
  ["layers.safetensors", { layer: 1 }],
  ["rows.pt", {}],
  ["lists.parquet", {}],
  ["lists.parquet", { column: "x" }],
  ["fixed.parquet", {}],
  ["records.parquet", {}],
  ["lists.feather", {}],
];

describe("files of rows", () => {
  it.each(EVERY)("reads %s %o", async (name, choice) => {
    const path = join(FIXTURES, name);
    expect(await read(path, { width: D, ...choice })).toEqual({ count: N, width: D, rows: ROWS });
    expect(await read(path, choice)).toEqual({ count: N, width: D, rows: ROWS });
    // From the middle of a block, a batch and a row group to the middle of another.
    expect((await read(path, choice, [8, 23, 4])).rows).toEqual(ROWS.slice(8, 23));
    // In memory that each block leaves to the next, the last of them shorter.
    expect((await read(path, choice, [8, 23, 4], new BlockMemory(1))).rows).toEqual(ROWS.slice(8, 23));
  });

  it("keeps a block until so many later ones were asked for", async () => {
    const file = await openRowFile(join(FIXTURES, "rows.npy"));
    try {
      const blocks: Float32Array[] = [];
      for await (const { data } of file.blocks(0, N, 4, new BlockMemory(3))) {
        blocks.push(data);
        for (const [i, held] of blocks.slice(-3).entries()) {
          const first = 4 * (blocks.length - Math.min(3, blocks.length) + i);
          expect(Array.from(held.subarray(0, D))).toEqual(ROWS[first]);
        }
      }
      expect(new Set(blocks.map(({ buffer }) => buffer)).size).toBe(3);
    } finally {
      await file.close();
    }
  });

  it("reads the activations that SAELens cached: records of a context's rows", async () => {
    const files = await findRowFiles([join(FIXTURES, "sae-cache")]);
    expect(files.map(({ name }) => name)).toEqual(["data-00000-of-00002.arrow", "data-00001-of-00002.arrow"]);
    const rows: number[][] = [];
    for (const { path } of files) rows.push(...(await read(path, { width: D })).rows);
    expect(rows).toEqual(ROWS);
  });

  it("flattens leading dimensions, and takes two last ones as a crosscoder's row", async () => {
    const path = join(FIXTURES, "layers.safetensors");
    expect((await read(path, { width: D })).count).toBe(3 * N);
    const both = await read(path, { width: 3 * D });
    expect(both.count).toBe(N);
    expect(both.rows[1]!.slice(D, 2 * D)).toEqual(ROWS[1]);
    const records = await read(join(FIXTURES, "records.parquet"), { width: 4 * D });
    expect(records.rows[1]).toEqual(ROWS.slice(4, 8).flat());
    expect((await read(join(FIXTURES, "records.parquet"), { layer: 2, width: D })).rows).toEqual(
      ROWS.filter((_, i) => i % 4 === 2),
    );
  });

  it.each([
    ["rows.npy", { width: 7 }, /is of shape \(24, 6\): its rows hold 6 numbers, the dictionary takes 7/],
    ["rows.npy", { layer: 0 }, /--layer needs \(…, layers, d\)/],
    ["layers.safetensors", { layer: 3 }, /has the layers 0 to 2, and no 3/],
    ["layers.safetensors", { column: "x" }, /holds no tensor x of rows \(--column\).* hidden_states \(24, 3, 6\)/],
    ["lists.parquet", { column: "id" }, /holds no column id of lists of floats \(--column\).* id \(Int64\)/],
    ["lists.parquet", { width: 5 }, /rows hold 6 numbers, the dictionary takes 5/],
    ["lz4.feather", {}, /compressed buffers, which are not read/],
    ["ragged.feather", {}, /lists of different lengths/],
    ["nulls.feather", {}, /holds nulls in the batch from row 0 on/],
    ["sae-cache/state.json", {}, /ends in none of \.npy/],
  ] as const)("refuses %s with %o", async (name, choice, said) => {
    await expect(read(join(FIXTURES, name), choice)).rejects.toThrow(said);
  });

  it("names lists of different lengths whose mean is whole", async () => {
    const { RecordBatchStreamWriter, tableFromArrays, vectorFromArray, List, Field, Float32 } =
      await import("apache-arrow");
    const type = new List(new Field("item", new Float32()));
    const x = vectorFromArray(
      [
        [1, 2],
        [3, 4, 5, 6],
        [7, 8, 9],
      ],
      type,
    );
    const path = join(folder, "uneven.arrow");
    await writeFile(path, await RecordBatchStreamWriter.writeAll(tableFromArrays({ x: x as never })).toUint8Array());
    await expect(read(path)).rejects.toThrow(/column x holds lists of different lengths, at record 0/);
  });

  it("refuses each file that is cut off anywhere, or whose length is claimed", async () => {
    for (const name of ["rows.npy", "layers.safetensors", "lists.feather", "lists.parquet", "rows.pt"]) {
      const bytes = await readFile(join(FIXTURES, name));
      for (const part of [0, 0.3, 0.6, 0.95]) {
        const path = join(folder, `cut-${name}`);
        await copyFile(join(FIXTURES, name), path);
        await truncate(path, Math.floor(bytes.length * part));
        await expect(read(path, { ...(name.startsWith("layers") && { layer: 1 }) }), `${name} ${part}`).rejects.toThrow(
          path,
        );
      }
    }
    const claims = join(folder, "claims.npy");
    await writeFile(claims, Buffer.concat([npyBytes([2 ** 40, 4], [1, 2, 3, 4])]));
    await expect(read(claims)).rejects.toThrow(/is \d+ bytes long; shape \(1099511627776, 4\)/);
  });

  it("survives every changed byte of an Arrow file: rows, or a fault that names the file", async () => {
    const bytes = await readFile(join(FIXTURES, "lists.feather"));
    const path = join(folder, "changed.feather");
    for (let at = 0; at < 1200; at += 7) {
      const changed = Uint8Array.from(bytes);
      changed[at] = changed[at]! ^ 0xff;
      await writeFile(path, changed);
      await read(path).catch((error: unknown) => expect(String(error)).toContain(path));
    }
  });
});

describe("names of files", () => {
  it("takes paths, folders and globs in the order of their names, and refuses what is missing or stands twice", async () => {
    const root = join(folder, "found");
    for (const name of ["a/2.npy", "a/10.npy", "a/deep/1.npy", "b/2.npy", "a/notes.txt", "a/model.bin"]) {
      await mkdir(dirname(join(root, name)), { recursive: true });
      await writeFile(join(root, name), npyBytes([1, 2], [1, 2]));
    }
    const names = async (...patterns: string[]): Promise<string[]> =>
      (await findRowFiles(patterns.map((pattern) => join(root, pattern)))).map(({ name }) => name);
    expect(await names("a")).toEqual(["10.npy", "2.npy", "deep/1.npy"]);
    expect(await names("*/*.npy")).toEqual(["a/10.npy", "a/2.npy", "b/2.npy"]);
    expect(await names("a/2.npy", "a")).toEqual(["10.npy", "2.npy", "deep/1.npy"]);
    await expect(names("a", "b")).rejects.toThrow(/would both be known as 2\.npy/);
    await expect(names("c/*.npy")).rejects.toThrow(/c\/\*\.npy matches no file/);
  });
});
