/** Steering over a socket: the shipped dictionary, sets across restarts and kills, a dictionary replaced under a set. */
import { once } from "node:events";
import { cpSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readExamples } from "../../src/engine/dictionaries/examples.ts";
import type { Edit } from "../../src/engine/core/edits.ts";
import { type Encoded, get, post } from "../support/client.ts";
import { FULL, itInFull } from "../support/full.ts";
import { writeModelFolder } from "../support/model-folder.ts";
import { type RunningServer, startServer } from "../support/running-server.ts";
import { randomAtoms } from "../support/seeded.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

const ID = "minilm-wordnet-mp";
const D = 384;
const shipped = fileURLToPath(new URL(`../../models/${ID}`, import.meta.url));

/** A row as the float32 numbers that it is: the shortest decimal of one is another double. */
const bits = (row: readonly number[]): Uint32Array => new Uint32Array(Float32Array.from(row).buffer);

interface Steered {
  readonly outputs: number[][];
  readonly changes: readonly {
    readonly norm: number;
    readonly edits?: readonly { readonly feature?: number; readonly before: number; readonly after: number }[];
    readonly moved?: readonly {
      readonly feature: number;
      readonly before: number;
      readonly after: number;
      readonly asked: boolean;
    }[];
  }[];
}

describe("steer", () => {
  const models = temporaryFolder();
  const budget = { max_atoms: 16 };
  let server: RunningServer;
  let inputs: number[][];

  beforeAll(async () => {
    cpSync(shipped, join(models, ID), { recursive: true });
    const { rows } = (await readExamples(shipped, D))!;
    inputs = Array.from({ length: 8 }, (_, i) => [...rows.subarray(i * D, (i + 1) * D)]);
    server = await startServer(models, temporaryFolder());
  });
  afterAll(() => server.stop());

  const steer = (body: object): Promise<Steered> =>
    post(server.base, `/v1/dictionaries/${ID}/steer`, { inputs, budget, ...body });
  const encode = (rows: number[][]): Promise<Encoded> =>
    post(server.base, `/v1/dictionaries/${ID}/encode`, { inputs: rows, budget });

  it("gives back what it got, bit for bit, when nothing is asked", async () => {
    const { outputs, changes } = await steer({ edits: [] });
    expect(outputs.map(bits)).toEqual(inputs.map(bits));
    expect(changes).toEqual(inputs.map(() => ({ norm: 0 })));
  });

  it("removes what a row has, leaves rows alone that have it not, and reports what the next code says", async () => {
    const { codes } = await encode(inputs);
    const feature = codes[0]!.indices[0]!;
    const { outputs, changes } = await steer({ edits: [{ feature, op: "remove" }], include: ["effect"] });
    const after = await encode(outputs);
    for (const [i, { norm, edits, moved }] of changes.entries()) {
      const k = codes[i]!.indices.indexOf(feature);
      const value = k < 0 ? 0 : codes[i]!.values[k]!;
      expect(edits).toEqual([{ edit: 0, feature, before: value, after: 0 }]);
      expect(norm).toBeCloseTo(Math.abs(value), 5);
      if (k < 0) expect(bits(outputs[i]!)).toEqual(bits(inputs[i]!));
      for (const one of moved!) {
        const there = after.codes[i]!.indices.indexOf(one.feature);
        expect(one.after).toBe(there < 0 ? 0 : after.codes[i]!.values[there]);
        expect(one.asked).toBe(one.feature === feature);
      }
    }
  });

  it("adds and takes away again within 1e-5", async () => {
    const there = await steer({ edits: [{ feature: 9, op: "add", value: 0.5 }] });
    const { outputs } = await steer({ inputs: there.outputs, edits: [{ feature: 9, op: "add", value: -0.5 }] });
    for (const [i, row] of outputs.entries()) {
      for (const [c, value] of row.entries()) expect(Math.abs(value - inputs[i]![c]!)).toBeLessThan(1e-5);
    }
  });

  it.each<[string, unknown[], RegExp]>([
    [
      "feature",
      [
        { feature: 1, op: "remove" },
        { feature: 4096, op: "remove" },
      ],
      /422.*edits\[1\]\.feature is 4096/,
    ],
    ["vector", [{ vector: [1], op: "project_out" }], /422.*edits\[0\]\.vector holds 1 numbers/],
    ["row", [{ feature: 1, op: "remove", rows: [8] }], /422.*edits\[0\]\.rows names row 8/],
    ["op", [{ feature: 1, op: "delete" }], /422.*edits\[0\]\.op must be one of/],
  ])("refuses an unknown %s with the edit's index", async (_, edits, message) => {
    await expect(steer({ edits })).rejects.toThrow(message);
  });

  it("refuses rows and budgets that encode would refuse, with edits that need no encode too", async () => {
    const edits = [{ feature: 1, op: "project_out" }];
    await expect(steer({ inputs: [[1, 2]], edits })).rejects.toThrow(/422.*PURSUIT_WRONG_WIDTH/);
    await expect(steer({ budget: { max_atoms: 5000 }, edits })).rejects.toThrow(/422.*PURSUIT_BUDGET_OUT_OF_RANGE/);
  });

  it("is measured by route and stage", async () => {
    await steer({ edits: [{ feature: 1, op: "add", value: 1 }] });
    const text = await (await fetch(`${server.base}/metrics`)).text();
    expect(text).toMatch(/pursuit_requests_total\{route="\/v1\/dictionaries\/\{id\}\/steer",code="200"\} \d+/);
    expect(text).toMatch(/pursuit_stage_seconds_count\{stage="steer",dictionary="[^"]+"\} [1-9]/);
  });
});

describe("steering sets", () => {
  const models = temporaryFolder();
  const cache = temporaryFolder();
  const folder = join(cache, "state", "steering", "one");
  const write = (seed: number): string => writeModelFolder(models, "one", { atoms: randomAtoms(64, 8, seed), d: 8 });
  const path = "/v1/dictionaries/one/steering";
  const row = [[1, 2, 3, 4, 5, 6, 7, 8]];
  write(1);

  const put = (server: RunningServer, name: string, edits: readonly Edit[], headers = {}): Promise<Response> =>
    fetch(`${server.base}${path}/${name}`, {
      method: "PUT",
      headers: { "content-type": "application/json", ...headers },
      body: JSON.stringify({ edits }),
    });
  const use = (server: RunningServer, body: object): Promise<Steered> =>
    post(server.base, "/v1/dictionaries/one/steer", { inputs: row, ...body });

  it("are used by name, outlast a restart, and are refused once the dictionary is another", async () => {
    const edits = [{ feature: 3, op: "add", value: 2 } as const];
    const more = [{ feature: 5, op: "project_out" } as const];
    let server = await startServer(models, cache);
    const etag = (await put(server, "calm", edits)).headers.get("etag")!;
    const inline = await use(server, { edits: [...edits, ...more] });
    expect(await use(server, { set: "calm", edits: more })).toEqual(inline);
    const alone = await use(server, { set: "calm" });
    expect(alone).toEqual(await use(server, { edits }));
    await expect(use(server, { set: "none" })).rejects.toThrow(/404.*PURSUIT_STEERING_SET_NOT_FOUND/);
    expect(await server.stop()).toBe(0);

    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "torn.json"), '{"format":1,"sha');
    server = await startServer(models, cache);
    expect(server.log()).toMatch(/torn\.json is not a steering set/);
    expect(await get(server.base, `${path}/calm`)).toMatchObject({ name: "calm", etag, edits, stale: false });
    expect(await use(server, { set: "calm" })).toEqual(alone);
    await server.stop();

    write(2);
    server = await startServer(models, cache);
    expect(await get(server.base, path)).toMatchObject({ sets: [{ name: "calm", stale: true, etag }] });
    await expect(use(server, { set: "calm" })).rejects.toThrow(/409.*PURSUIT_STEERING_SET_STALE.*save it again/);
    const saved = await put(server, "calm", edits, { "if-match": etag });
    expect([saved.status, await saved.json()]).toMatchObject([200, { stale: false }]);
    expect((await put(server, "calm", edits, { "if-match": etag })).status).toBe(412);
    expect(await use(server, { set: "calm" })).toEqual(await use(server, { edits }));
    await server.stop();
  });

  itInFull("fill the store to its limit and no further, whatever else is served", async () => {
    const place = temporaryFolder();
    let server = await startServer(models, place, { PURSUIT_STATE_LIMIT: String(20 * 4096) });
    const edits = [{ op: "project_out", vector: [1, 2, 3, 4, 5, 6, 7, 8] } as const];
    const statuses: number[] = [];
    for (let i = 0; i < 25; i++) statuses.push((await put(server, `s${i}`, edits)).status);
    expect(statuses).toEqual([...Array<number>(20).fill(201), ...Array<number>(5).fill(507)]);
    expect(await (await put(server, "late", edits)).json()).toMatchObject({
      code: "PURSUIT_STATE_FULL",
      detail: expect.stringMatching(
        /take 81920 of 81920 bytes allowed \(PURSUIT_STATE_LIMIT\); this one takes 4096 more/,
      ),
    });
    expect((await put(server, "s3", [...edits, ...edits])).status).toBe(200);
    expect(await use(server, { set: "s3" })).toEqual(await use(server, { edits: [...edits, ...edits] }));
    await server.stop();
    server = await startServer(models, place, { PURSUIT_STATE_LIMIT: String(20 * 4096) });
    const { sets, next } = await get<{ sets: unknown[]; next?: string }>(server.base, `${path}?limit=15`);
    expect([sets.length, next]).toEqual([15, "s4"]);
    expect((await put(server, "late", edits)).status).toBe(507);
    expect((await fetch(`${server.base}${path}/s0`, { method: "DELETE" })).status).toBe(204);
    expect((await put(server, "late", edits)).status).toBe(201);
    await server.stop();
  });

  it("that were acknowledged are there after kill -9, whichever of many writes it comes between", async () => {
    const NAMES = FULL ? 100 : 20;
    const WRITES = FULL ? 1000 : 120;
    const acknowledged = new Map<string, number>();
    /** Sent after the last acknowledged one, and not known to be written or not. */
    const unknown = new Map<string, number>();
    let sent = 0;
    let done = 0;
    for (const killAfter of [...(FULL ? [150, 480, 750] : [60]), Infinity]) {
      const server = await startServer(models, cache);
      for (const [name, value] of acknowledged) {
        const { edits } = await get<{ edits: { value: number }[] }>(server.base, `${path}/${name}`);
        expect([value, unknown.get(name)]).toContain(edits[0]!.value);
        acknowledged.set(name, edits[0]!.value);
      }
      unknown.clear();
      // Each name has one writer, so that its writes have an order.
      const writers = Array.from({ length: 10 }, async (_, writer) => {
        while (done < killAfter && sent < WRITES) {
          const value = sent++;
          const name = `s${(value % (NAMES / 10)) * 10 + writer}`;
          unknown.set(name, value);
          const answer = await put(server, name, [{ feature: value % 64, op: "add", value }]).catch(() => null);
          if (answer === null) return;
          expect(answer.ok).toBe(true);
          acknowledged.set(name, value);
          unknown.delete(name);
          if (++done === killAfter) server.process.kill("SIGKILL");
        }
      });
      await Promise.all(writers);
      if (killAfter === Infinity) await server.stop();
      else if (server.process.signalCode === null) await once(server.process, "exit");
    }
    expect(sent).toBe(WRITES);
    expect(done).toBeGreaterThan(0.9 * WRITES);
  }, 180_000);
});
