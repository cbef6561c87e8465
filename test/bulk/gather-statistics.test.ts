import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { gatherStatistics, type GatherWork } from "../../src/bulk/gather-statistics.ts";
import type { Rows } from "../../src/engine/core/rows.ts";
import { codesOf } from "../support/codes.ts";
import { npyBytes } from "../support/npy-bytes.ts";
import { normals } from "../support/seeded.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

const D = 4;
const COUNTS = [3000, 2500];

/** Codes a row as its positive numbers. */
const encode = async ({ data, count, width }: Rows) =>
  codesOf(
    Array.from({ length: count }, (_, i) => ({
      entries: Array.from(data.subarray(i * width, (i + 1) * width), (value, j): [number, number] => [j, value]).filter(
        ([, value]) => value > 0,
      ),
      residualNorm: 1,
      relativeError: 0.5,
    })),
    D,
  );

async function work(changes: Partial<GatherWork> = {}): Promise<GatherWork> {
  const folder = temporaryFolder();
  const files = await Promise.all(
    COUNTS.map(async (count, i) => {
      const path = join(folder, `${i}.npy`);
      await writeFile(path, npyBytes([count, D], [...normals(count * D, i + 1)]));
      return { path, name: `${i}.npy` };
    }),
  );
  return {
    files,
    choice: { width: D },
    m: D,
    top: 5,
    encode,
    checkpoint: { path: join(folder, "cache", "stats"), key: "k" },
    onProgress: () => {},
    ...changes,
  };
}

describe("gathering", () => {
  it("counts the rows of all files, numbered across them", async () => {
    const seen: number[][] = [];
    const { rows, tally } = await gatherStatistics(await work({ onProgress: (...now) => seen.push(now) }));
    expect(rows).toBe(5500);
    const all = COUNTS.flatMap((count, i) => [...normals(count * D, i + 1)]);
    const column = Array.from({ length: 5500 }, (_, row) => all[row * D + 1]!);
    expect(tally.state.count[1]).toBe(column.filter((value) => value > 0).length);
    expect(tally.state.topRow[5]).toBe(column.indexOf(Math.max(...column)));
    expect(seen.at(-1)).toEqual([5500, 5500]);
  });

  it("goes on after an interruption, and comes to the same", async () => {
    const whole = await gatherStatistics(await work());
    const given = await work({ every: 0 });
    let calls = 0;
    const interrupted = gatherStatistics({
      ...given,
      encode: (rows) => (++calls === 3 ? Promise.reject(new Error("killed")) : encode(rows)),
    });
    await expect(interrupted).rejects.toThrow(/1\.npy|0\.npy.*killed/);
    expect(existsSync(given.checkpoint.path)).toBe(true);
    let encoded = 0;
    const resumed = await gatherStatistics({ ...given, encode: (rows) => ((encoded += rows.count), encode(rows)) });
    expect(encoded).toBeLessThan(5500);
    expect(resumed.tally.state).toEqual(whole.tally.state);
    expect(resumed.pairs.state).toEqual(whole.pairs.state);
    expect(resumed.reference.state).toEqual(whole.reference.state);
  });

  it("starts anew where the checkpoint is of other settings, or torn", async () => {
    const given = await work({ every: 0 });
    await gatherStatistics(given);
    for (const prepare of [
      () => gatherStatistics({ ...given, checkpoint: { ...given.checkpoint, key: "other" } }),
      async () => {
        await writeFile(given.checkpoint.path, "torn");
        return gatherStatistics(given);
      },
    ])
      expect((await prepare()).tally.state.count[0]).toBeGreaterThan(2000);
  });

  it("refuses classes that are not one a row", async () => {
    const classes = { names: ["a"], classOf: new Uint32Array(7) };
    await expect(gatherStatistics(await work({ classes }))).rejects.toThrow(
      "--classes holds 7 lines, --rows 5500 rows",
    );
  });
});
