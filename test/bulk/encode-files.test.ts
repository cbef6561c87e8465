import { copyFile, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { encodeFiles, type EncodeFiles } from "../../src/bulk/encode-files.ts";
import { findRowFiles } from "../../src/bulk/find-files.ts";
import { openParquet } from "../../src/bulk/parquet-file.ts";
import { EngineError } from "../../src/engine/core/errors.ts";
import type { Rows } from "../../src/engine/core/rows.ts";
import type { SparseCodes } from "../../src/engine/core/sparse-codes.ts";
import { SafetensorsFile } from "../../src/engine/dictionaries/formats/safetensors.ts";
import { npyBytes } from "../support/npy-bytes.ts";
import { normals } from "../support/seeded.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

const FIXTURES = fileURLToPath(new URL("../fixtures/rows/", import.meta.url));
const [D, M] = [6, 40];
const folder = temporaryFolder();

/** A code for each row that says which row it is: its positive coordinates. Refuses what the engine refuses. */
async function encode({ data, count }: Rows): Promise<SparseCodes> {
  const indptr = [0];
  const [indices, values]: [number[], number[]] = [[], []];
  for (const [at, value] of data.entries()) {
    if (!Number.isFinite(value)) throw new EngineError("PURSUIT_NOT_FINITE", `Row ${at} of the call`);
    if (value > 0) {
      indices.push(at % D);
      values.push(value);
    }
    if (at % D === D - 1) indptr.push(indices.length);
  }
  const rows = new Uint32Array(count).fill(1);
  return {
    count,
    width: M,
    indptr: Uint32Array.from(indptr),
    indices: Uint32Array.from(indices),
    values: Float32Array.from(values),
    steps: rows,
    stops: new Uint8Array(count),
  };
}

let runs = 0;
const outFolder = (): string => join(folder, `out-${++runs}`);

async function run(patterns: readonly string[], out: string, options: Partial<EncodeFiles> = {}) {
  return encodeFiles({
    files: await findRowFiles(patterns),
    out,
    choice: { width: D },
    settings: { dictionary: "small", sha256: "one", budget: { max_atoms: 2 } },
    rowsPerShard: 100,
    format: "safetensors",
    part: { index: 0, count: 1 },
    encode,
    onProgress: () => {},
    onFailed: () => {},
    ...options,
  });
}

async function writeRows(name: string, count: number, seed: number, change: (rows: Float32Array) => void = () => {}) {
  const rows = normals(count * D, seed);
  change(rows);
  await mkdir(dirname(join(folder, name)), { recursive: true });
  await writeFile(join(folder, name), npyBytes([count, D], Array.from(rows)));
  return rows;
}

/** The bytes of every shard, by name. */
async function shardsIn(out: string): Promise<Record<string, string>> {
  const names = (await readdir(out, { recursive: true })).filter((name) => name.endsWith(".safetensors")).sort();
  return Object.fromEntries(
    await Promise.all(names.map(async (name) => [name, (await readFile(join(out, name))).toString("hex")] as const)),
  );
}

/** The positive coordinates of a shard's rows: all that the encoder above keeps of them. */
async function readShard(path: string): Promise<Float32Array[]> {
  const file = await SafetensorsFile.open(path);
  const column = async (name: string): Promise<Uint32Array> => {
    const pieces: Uint8Array[] = [];
    for await (const piece of file.pieces(name)) pieces.push(piece);
    return new Uint32Array(Uint8Array.from(Buffer.concat(pieces)).buffer);
  };
  const [indptr, indices] = [await column("indptr"), await column("indices")];
  const values = await file.readFloats("values");
  await file.close();
  return Array.from({ length: indptr.length - 1 }, (_, i) => {
    const row = new Float32Array(D);
    for (let k = indptr[i]!; k < indptr[i + 1]!; k++) row[indices[k]!] = values[k]!;
    return row;
  });
}

const shardName = (source: string, start: number): string => `${source}.${String(start).padStart(12, "0")}.safetensors`;

describe("encoding files", () => {
  it("leaves rows as they are until their codes are there, however many calls are under way", async () => {
    const count = 20_481;
    const [path, out] = [join(folder, "many.npy"), outFolder()];
    const numbers = normals(count * D, 3);
    await writeFile(path, npyBytes([count, D], Array.from(numbers)));
    const waiting: (() => void)[] = [];
    let called = 0;
    const late = async (rows: Rows): Promise<SparseCodes> => {
      called += rows.count;
      await new Promise<void>((resolve) => {
        waiting.push(resolve);
        // No further call comes before one of four is answered.
        if (waiting.length === 4 || called === count) for (const go of waiting.splice(0).toReversed()) go();
      });
      return encode(rows);
    };
    await run([path], out, { encode: late, rowsPerShard: count });
    const file = await SafetensorsFile.open(join(out, "many.npy.000000000000.safetensors"));
    try {
      // Compared at once: a look at each number takes seconds.
      const values = Buffer.from((await file.readFloats("values")).buffer);
      expect(values.equals(Buffer.from(numbers.filter((value) => value > 0).buffer))).toBe(true);
    } finally {
      await file.close();
    }
  });

  it("writes each row once, in order, in shards that say what they are", async () => {
    const rows = await writeRows("one/deep/x.npy", 250, 1);
    const out = outFolder();
    const progress: number[] = [];
    const result = await run([join(folder, "one")], out, { onProgress: ({ rows: done }) => progress.push(done) });
    expect(result).toMatchObject({ total: 250, rows: 250, resumed: 0, shards: 3, failed: [] });
    expect(progress.at(-1)).toBe(250);
    const read: Float32Array[] = [];
    for (const start of [0, 100, 200]) read.push(...(await readShard(join(out, shardName("deep/x.npy", start)))));
    expect(read).toEqual(
      Array.from({ length: 250 }, (_, i) => rows.slice(i * D, (i + 1) * D).map((x) => Math.max(x, 0))),
    );
    const file = await SafetensorsFile.open(join(out, shardName("deep/x.npy", 200)));
    await file.close();
    expect(file.metadata).toMatchObject({ source: "deep/x.npy", start: "200", end: "250", shape: "[50,40]" });
    expect(JSON.parse(file.metadata["settings"]!)).toMatchObject({
      dictionary: "small",
      sha256: "one",
      rows_per_shard: 100,
    });
    const list = JSON.parse(await readFile(join(out, "shards-0-of-1.json"), "utf8")) as {
      shards: { entries: number }[];
    };
    expect(list.shards.reduce((sum, { entries }) => sum + entries, 0)).toBe(result.entries);
  });

  it("writes the same entries as Parquet, and goes on from what those files say", async () => {
    const rows = await writeRows("table/x.npy", 130, 2);
    const out = outFolder();
    await run([join(folder, "table")], out, { format: "parquet" });
    expect(await run([join(folder, "table")], out, { format: "parquet" })).toMatchObject({
      rows: 0,
      resumed: 130,
      shards: 2,
    });
    const { tableFromIPC } = await import("apache-arrow");
    const { file, close } = await openParquet(join(out, "x.npy.000000000100.parquet"));
    const table = tableFromIPC((await file.read()).intoIPCStream());
    await close();
    expect(table.schema.fields.map(String)).toEqual(["row: Int64", "feature: Uint32", "value: Float32"]);
    const entries = Array.from(table, (line) => [
      Number(line["row"]),
      line["feature"] as number,
      line["value"] as number,
    ]);
    const expected = Array.from(rows, (value, at) => [Math.floor(at / D), at % D, value]);
    expect(entries).toEqual(expected.filter(([row, , value]) => row! >= 100 && value! > 0));
  });

  it("encodes every format to the same codes", async () => {
    const names = [
      "rows.npy",
      "half.npy",
      "fortran.npy",
      "lists.parquet",
      "records.parquet",
      "lists.feather",
      "rows.pt",
    ];
    const out = outFolder();
    const layers = outFolder();
    expect(
      await run(
        names.map((name) => join(FIXTURES, name)),
        out,
        { rowsPerShard: 10 },
      ),
    ).toMatchObject({ rows: 24 * 7, failed: [] });
    await run([join(FIXTURES, "layers.safetensors")], layers, { rowsPerShard: 10, choice: { width: D, layer: 1 } });
    const expected = await readShard(join(out, shardName("rows.npy", 10)));
    for (const name of names) expect(await readShard(join(out, shardName(name, 10))), name).toEqual(expected);
    expect(await readShard(join(layers, shardName("layers.safetensors", 10)))).toEqual(expected);
  });

  it("goes on where it stopped, over torn and missing shards, to the same bytes", async () => {
    await writeRows("again/a.npy", 1000, 3);
    await writeRows("again/b.npy", 333, 4);
    const [whole, out] = [outFolder(), outFolder()];
    await run([join(folder, "again")], whole);
    await run([join(folder, "again")], out);
    for (const start of [300, 400, 900]) await rm(join(out, shardName("a.npy", start)));
    await writeFile(join(out, `${shardName("a.npy", 900)}.part`), "torn");
    expect(await run([join(folder, "again")], out)).toMatchObject({ rows: 300, resumed: 1033, shards: 14 });
    expect(await shardsIn(out)).toEqual(await shardsIn(whole));
    await writeFile(join(out, shardName("a.npy", 300)), "torn");
    const { failed } = await run([join(folder, "again")], out);
    expect(failed).toEqual([
      { name: "a.npy", reason: expect.stringMatching(/Remove it, and run the command again/) as string },
    ]);
  });

  it("names a bad file and does the others; mended, the rest of it is done", async () => {
    await writeRows("mixed/a.npy", 50, 5);
    await writeRows("mixed/b.npy", 1000, 6, (rows) => (rows[700 * D + 2] = Number.NaN));
    await writeFile(join(folder, "mixed/c.npy"), "no rows");
    await writeFile(join(folder, "mixed/d.npy"), npyBytes([2, 5], Array.from(normals(10, 1))));
    await writeRows("mixed/e.npy", 60, 7);
    const out = outFolder();
    const { failed } = await run([join(folder, "mixed")], out);
    expect(failed).toEqual([
      { name: "c.npy", reason: "is no .npy file." },
      { name: "d.npy", reason: expect.stringMatching(/rows hold 5 numbers, the dictionary takes 6/) as string },
      { name: "b.npy", reason: "row 700, column 2 is NaN; every value must be a finite float32." },
    ]);
    const there = Object.keys(await shardsIn(out));
    expect(there).toEqual(expect.arrayContaining([shardName("a.npy", 0), shardName("e.npy", 0)]));
    expect(there).not.toContain(shardName("b.npy", 700));
    await writeRows("mixed/b.npy", 1000, 6);
    await rm(join(folder, "mixed/c.npy"));
    await rm(join(folder, "mixed/d.npy"));
    // The shards that it has are of the file as it was.
    if (there.includes(shardName("b.npy", 0))) {
      const [failure] = (await run([join(folder, "mixed")], out)).failed;
      expect(failure?.reason).toMatch(/its shard b\.npy\.0+\.safetensors was made with source_modified/);
    }
    for (const name of there) if (name.startsWith("b.")) await rm(join(out, name));
    expect(await run([join(folder, "mixed")], out)).toMatchObject({ rows: 1000, failed: [] });
  });

  it("refuses a folder of other weights or settings by name, and a fault that is no file's", async () => {
    await writeRows("settings/x.npy", 10, 8);
    const out = outFolder();
    const again = (options: Partial<EncodeFiles>) => run([join(folder, "settings")], out, options);
    await again({});
    const settings = { dictionary: "small", sha256: "one", budget: { max_atoms: 2 } };
    await expect(again({ settings: { ...settings, sha256: "two" } })).rejects.toThrow(
      /holds shards of other settings: sha256 is "one" there and "two" here\. Choose another --out/,
    );
    await expect(
      again({ settings: { ...settings, budget: { max_atoms: 3 } }, choice: { width: D, column: "x" } }),
    ).rejects.toThrow(
      /budget is \{"max_atoms":2\} there and \{"max_atoms":3\} here; column is null there and "x" here/,
    );
    await expect(again({ rowsPerShard: 7 })).rejects.toThrow(/rows_per_shard is 100 there and 7 here/);
    const encodeFails = () => Promise.reject(new EngineError("PURSUIT_DICTIONARY_FAILED", "it is gone"));
    await expect(run([join(folder, "settings")], outFolder(), { encode: encodeFails })).rejects.toThrow(/it is gone/);
    await writeFile(join(folder, "blocked"), "a file where the folder of a shard should be");
    await copyFile(join(folder, "settings/x.npy"), join(folder, "x.npy"));
    await expect(run([join(folder, "x.npy")], join(folder, "blocked"))).rejects.toThrow(/EEXIST/);
  });

  it("divides the shards among parts: each is done once", async () => {
    await writeRows("parts/a.npy", 950, 9);
    await writeRows("parts/b.npy", 450, 10);
    const [whole, out] = [outFolder(), outFolder()];
    await run([join(folder, "parts")], whole);
    const parts = await Promise.all(
      [0, 1, 2].map((index) => run([join(folder, "parts")], out, { part: { index, count: 3 } })),
    );
    expect(parts.map(({ rows }) => rows)).toEqual([450, 500, 450]);
    expect(await shardsIn(out)).toEqual(await shardsIn(whole));
  });

  it("holds a few blocks at a time, whatever the file's size", async () => {
    await writeRows("large/x.npy", 60_000, 11);
    const waiting: (() => void)[] = [];
    let [seen, under, most] = [0, 0, 0];
    // Answers a call when the fourth is made, as an engine does that is asked for more than it can do.
    const busy = async (rows: Rows): Promise<SparseCodes> => {
      under += rows.count;
      seen += rows.count;
      most = Math.max(most, under);
      const answered = new Promise<void>((resolve) => waiting.push(resolve));
      if (seen === 60_000) for (const answer of waiting.splice(0)) answer();
      else if (waiting.length === 4) waiting.shift()!();
      await answered;
      under -= rows.count;
      return encode(rows);
    };
    const result = await run([join(folder, "large")], outFolder(), { encode: busy, rowsPerShard: 7000 });
    expect(result).toMatchObject({ rows: 60_000, shards: 9 });
    expect(most).toBeGreaterThan(2 * 4096);
    expect(most).toBeLessThanOrEqual(4 * 4096);
  });
});
