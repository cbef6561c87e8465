/** `pursuit encode-files` as built: the server's codes, and no lost or doubled row after SIGKILL. Its rules: test/bulk. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { SafetensorsFile } from "../../src/engine/dictionaries/formats/safetensors.ts";
import { writeModelFolder } from "../support/model-folder.ts";
import { npyBytes } from "../support/npy-bytes.ts";
import { callCli } from "../support/call-cli.ts";
import { CLI } from "../support/run-cli.ts";
import { startServer } from "../support/running-server.ts";
import { normals, randomAtoms } from "../support/seeded.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";
import { until } from "../support/until.ts";

const [D, M] = [6, 40];
const models = temporaryFolder();
const folder = temporaryFolder();

beforeAll(() => {
  writeModelFolder(models, "small", { atoms: randomAtoms(M, D, 1), d: D });
});

/** Fields of a line of progress. */
interface Line {
  readonly event: string;
  readonly resumed: number;
  readonly rows: number;
}

const argsOf = (files: string, out: string, flags: readonly string[]): string[] => [
  "encode-files",
  join(folder, files),
  "--dictionary",
  "small",
  "--models-dir",
  models,
  "--out",
  join(folder, out),
  ...flags,
];

async function encode(files: string, out: string, flags: readonly string[], env = {}) {
  const { code, stdout, stderr } = await callCli(argsOf(files, out, flags), env);
  const last = stdout.trim().split("\n").at(-1)!;
  return { code, stderr, done: last === "" ? undefined : (JSON.parse(last) as Line) };
}

function writeRows(name: string, count: number, seed: number): void {
  mkdirSync(dirname(join(folder, name)), { recursive: true });
  writeFileSync(join(folder, name), npyBytes([count, D], Array.from(normals(count * D, seed))));
}

/** The bytes of every shard, by name. */
function shardsIn(out: string): Record<string, string> {
  const names = (readdirSync(join(folder, out), { recursive: true }) as string[]).filter((name) =>
    name.endsWith(".safetensors"),
  );
  return Object.fromEntries(names.sort().map((name) => [name, readFileSync(join(folder, out, name)).toString("hex")]));
}

async function readShard(path: string) {
  const file = await SafetensorsFile.open(path);
  const bytes = async (name: string): Promise<ArrayBuffer> => {
    const pieces: Uint8Array[] = [];
    for await (const piece of file.pieces(name)) pieces.push(piece);
    return Uint8Array.from(Buffer.concat(pieces)).buffer;
  };
  const [indices, values] = [new Uint32Array(await bytes("indices")), new Float32Array(await bytes("values"))];
  await file.close();
  return { indices: Array.from(indices), values: Array.from(values) };
}

describe("pursuit encode-files", () => {
  it("gives the server's codes", { timeout: 120_000 }, async () => {
    writeRows("one/x.npy", 700, 2);
    const flags = ["--max-atoms", "3", "--tolerance", "0.2", "--rows-per-shard", "300"];
    const { code, done } = await encode("one", "codes", flags);
    expect(code).toBe(0);
    expect(done).toMatchObject({ event: "done", total: 700, rows: 700, resumed: 0, shards: 3 });

    const server = await startServer(models, temporaryFolder());
    const rows = normals(700 * D, 2);
    const answer = await fetch(`${server.base}/v1/dictionaries/small/encode`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({
        inputs: Array.from({ length: 700 }, (_, i) => Array.from(rows.subarray(i * D, (i + 1) * D))),
        budget: { max_atoms: 3, tolerance: 0.2 },
        format: "csr",
      }),
    });
    const served = (await answer.json()) as { sha256: string; indices: number[]; values: number[] };
    await server.stop();
    const starts = ["000000000000", "000000000300", "000000000600"];
    const shards = await Promise.all(
      starts.map((start) => readShard(join(folder, `codes/x.npy.${start}.safetensors`))),
    );
    expect(shards.flatMap(({ indices }) => indices)).toEqual(served.indices);
    expect(shards.flatMap(({ values }) => values)).toEqual(Array.from(Float32Array.from(served.values)));
    const manifest = JSON.parse(readFileSync(join(folder, "codes/manifest.json"), "utf8")) as object;
    const budget = { max_atoms: 3, tolerance: 0.2 };
    expect(manifest).toMatchObject({ dictionary: "small", sha256: served.sha256, budget, encoder: "own" });
  });

  it("goes on after SIGKILL without a lost or doubled row", { timeout: 180_000 }, async () => {
    writeRows("many/a.npy", 20_000, 3);
    writeRows("many/b/c.npy", 20_500, 4);
    const flags = ["--rows-per-shard", "500", "--max-atoms", "4"];
    expect((await encode("many", "whole", flags)).done).toMatchObject({ rows: 40_500, shards: 81 });

    for (const shard of ["a.npy.000000001000", "b/c.npy.000000004000"]) {
      const child = spawn(process.execPath, [CLI, ...argsOf("many", "killed", flags)], { stdio: "ignore" });
      const exited = once(child, "exit");
      const path = join(folder, "killed", `${shard}.safetensors`);
      await until(() => existsSync(path) || child.exitCode !== null);
      child.kill("SIGKILL");
      expect(await exited).toEqual([null, "SIGKILL"]);
    }
    const there = Object.keys(shardsIn("killed")).length;
    expect(there).toBeGreaterThan(0);
    expect(there).toBeLessThan(81);
    const { code, done } = await encode("many", "killed", flags);
    expect(code).toBe(0);
    expect(done).toMatchObject({ total: 40_500, shards: 81, resumed: 500 * there });
    expect(done!.resumed + done!.rows).toBe(40_500);
    expect(shardsIn("killed")).toEqual(shardsIn("whole"));
  });

  it("says which part it is to do, and refuses a budget before any file is read", { timeout: 120_000 }, async () => {
    writeRows("flags/x.npy", 10, 8);
    const said = async (flags: readonly string[], env = {}): Promise<string> => {
      const { code, stderr } = await encode("flags", "flagged", flags, env);
      expect(code).toBe(1);
      return stderr;
    };
    expect(await said(["--shard", "3"])).toMatch(/write --shard i\/3/);
    expect(await said([], { SLURM_ARRAY_TASK_ID: "5", SLURM_ARRAY_TASK_COUNT: "3" })).toMatch(/counted from 0 to 2/);
    expect(await said([], { JOB_COMPLETION_INDEX: "1" })).toMatch(/add --shard n, the Job's completions/);
    expect(await said(["--shard", "0/2", "--group", "7"])).toMatch(/group/);
    expect(existsSync(join(folder, "flagged"))).toBe(false);
  });
});
