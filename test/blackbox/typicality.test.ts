/** The built server compares rows with the dictionary's held-out rows under the same budget. */
import { cpSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writeModelFolder } from "../support/model-folder.ts";
import { type RunningServer, startServer } from "../support/running-server.ts";
import { normals, randomAtoms } from "../support/seeded.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";
import { readSafetensors } from "../support/wire-answers.ts";

const SHIPPED = fileURLToPath(new URL("../../models/minilm-wordnet-mp", import.meta.url));
const ID = "minilm-wordnet-mp";
const include = ["typicality"];

interface Quantiles {
  readonly relative_error: number;
  readonly norm: number;
  readonly atoms: number;
  readonly surprise: number;
}

let server: RunningServer;
beforeAll(async () => {
  const models = temporaryFolder();
  cpSync(SHIPPED, `${models}/${ID}`, { recursive: true });
  writeModelFolder(models, "small", { atoms: randomAtoms(20, 6, 1), d: 6 });
  server = await startServer(models, temporaryFolder(), { PURSUIT_MAX_WAIT_MS: "600000" });
}, 60_000);
afterAll(() => server.stop());

async function ask(body: object, id = ID): Promise<{ status: number; body: Record<string, unknown> }> {
  const answer = await fetch(`${server.base}/v1/dictionaries/${id}/encode`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
}

async function quantilesOf(inputs: readonly (readonly number[])[], budget: object): Promise<Quantiles[]> {
  const { status, body } = await ask({ inputs, budget, include });
  expect(status, JSON.stringify(body).slice(0, 300)).toBe(200);
  return (body["codes"] as { typicality: Quantiles }[]).map(({ typicality }) => typicality);
}

const { data, shape } = readSafetensors(readFileSync(`${SHIPPED}/examples.safetensors`)).tensors["rows"]!;
const [count, d] = shape as [number, number];
const held = Array.from({ length: count }, (_, i) => data.slice(i * d, (i + 1) * d));
const mean = (numbers: readonly number[]): number => numbers.reduce((sum, one) => sum + one, 0) / numbers.length;

describe("include typicality", () => {
  it("spreads the held-out rows over all quantiles, under any budget", async () => {
    for (const budget of [{ max_atoms: 2 }, { max_atoms: 17 }, { tolerance: 0.5 }]) {
      const quantiles = await quantilesOf(held, budget);
      const errors = quantiles.map((one) => one.relative_error);
      expect(mean(errors)).toBeCloseTo(0.5, 2);
      expect(Math.min(...errors)).toBeLessThan(0.05);
      expect(Math.max(...errors)).toBeGreaterThan(0.95);
      expect(mean(quantiles.map(({ atoms }) => atoms))).toBeCloseTo(0.5, 2);
      expect(mean(quantiles.map(({ surprise }) => surprise))).toBeCloseTo(0.5, 2);
    }
  });

  it("compares with the rows of the statistics under their budget, and under none, which is the same", async () => {
    const quantiles = await quantilesOf(held, { max_atoms: 16 });
    const { body } = await ask({ inputs: held, include });
    expect((body["codes"] as { typicality: Quantiles }[]).map(({ typicality }) => typicality)).toEqual(quantiles);
    // 64 examples alone give multiples of 1/128.
    const fine = quantiles.filter(({ surprise }) => !Number.isInteger(surprise * 128));
    expect(fine.length).toBeGreaterThan(32);
    for (const figure of ["relative_error", "surprise"] as const) {
      const all = quantiles.map((one) => one[figure]);
      expect([Math.min(...all) < 0.2, Math.max(...all) > 0.8]).toEqual([true, true]);
    }
  });

  it("puts noise above them by its error, and long rows by their norm", async () => {
    const noise = Array.from({ length: 8 }, (_, i) => [...normals(d, i)].map((value) => value / Math.sqrt(d)));
    for (const { relative_error: error } of await quantilesOf(noise, { max_atoms: 16 })) expect(error).toBe(1);
    const long = held.slice(0, 4).map((row) => row.map((value) => value * 3));
    expect((await quantilesOf(long, { max_atoms: 16 })).map(({ norm }) => norm)).toEqual([1, 1, 1, 1]);
  });

  it("is in safetensors, and in lines", async () => {
    const [expected] = await quantilesOf(held.slice(0, 1), { max_atoms: 4 });
    const path = `${server.base}/v1/dictionaries/${ID}/encode`;
    const tensors = await fetch(`${path}?dtype=float32&rows=1&max_atoms=4&include=typicality`, {
      method: "POST",
      headers: { "content-type": "application/octet-stream", accept: "application/vnd.safetensors" },
      body: Buffer.from(Float32Array.from(held[0]!).buffer),
    });
    const read = readSafetensors(new Uint8Array(await tensors.arrayBuffer())).tensors;
    expect(read["typicality_relative_error"]!.data).toEqual([Math.fround(expected!.relative_error)]);
    const lines = await fetch(`${path}?max_atoms=4&include=typicality`, {
      method: "POST",
      headers: { "content-type": "application/x-ndjson" },
      body: `${JSON.stringify(held[0])}\n`,
    });
    expect(JSON.parse(await lines.text())).toMatchObject({ typicality: expected });
  });

  it("is refused where rows have different budgets, and where there are no held-out rows", async () => {
    const budget = [{ max_atoms: 1 }, { max_atoms: 2 }];
    const unequal = await ask({ inputs: held.slice(0, 2), budget, include });
    expect([unequal.status, unequal.body["code"]]).toEqual([422, "PURSUIT_BUDGET_OUT_OF_RANGE"]);
    const without = await ask({ inputs: [[1, 2, 3, 4, 5, 6]], include }, "small");
    expect([without.status, without.body["code"]]).toEqual([404, "PURSUIT_NO_EXAMPLES"]);
    expect(without.body["detail"]).toContain("dictionary small");
  });
});
