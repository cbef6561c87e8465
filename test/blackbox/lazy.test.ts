/** PURSUIT_LOAD=lazy: more dictionaries than there is room for, under mixed traffic. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { DictionaryWire } from "../../src/routes/v1/dictionary-schemas.ts";
import { type Encoded, get, post } from "../support/client.ts";
import { writeModelFolder } from "../support/model-folder.ts";
import { type RunningServer, startServer } from "../support/running-server.ts";
import { random, randomAtoms } from "../support/seeded.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

const MiB = 2 ** 20;
const D = 4;
const IDS = ["a", "b", "c", "d", "e", "f"];
/** Beside the server's 129 MiB: room for two dictionaries of 64 MiB, and not for three. */
const LIMIT = (129 + 150) * MiB;
const ENV = {
  PURSUIT_LOAD: "lazy",
  PURSUIT_MEMORY_LIMIT: String(LIMIT),
  PURSUIT_GRAM_LIMIT: "0",
  PURSUIT_MAX_BYTES_IN_FLIGHT: String(MiB),
  PURSUIT_MAX_WAIT_MS: "600000",
};

/** Dictionary i has the axes as atoms, the axis j of norm i + 1 + j, so that codes tell which one made them. */
const atomsOf = (i: number): Float32Array =>
  Float32Array.from({ length: D * D }, (_, at) => (at % (D + 1) === 0 ? 1 / (i + 1 + Math.floor(at / D)) : 0));
const models = temporaryFolder();

describe("with PURSUIT_LOAD=lazy", () => {
  let server: RunningServer;
  beforeAll(async () => {
    for (const [i, id] of IDS.entries()) writeModelFolder(models, id, { atoms: atomsOf(i), d: D });
    // 64 MiB of weights, of which a load holds several copies.
    writeModelFolder(models, "large", { atoms: randomAtoms(4096, 4096, 3), d: 4096 });
    server = await startServer(models, temporaryFolder(), ENV);
  });
  afterAll(async () => {
    expect(await server.stop()).toBe(0);
  });
  const loaded = async (): Promise<string[]> => {
    const { dictionaries } = await get<{ dictionaries: DictionaryWire[] }>(server.base, "/v1/dictionaries");
    return dictionaries.filter(({ state }) => state === "ready").map(({ id }) => id);
  };
  /** The value of axis 0 of a row whose only number is there: the inverse of the atom's norm times that. */
  const ask = async (id: string, value: number): Promise<number> => {
    const body = { inputs: [[value, 0, 0, 0]], budget: { max_atoms: 1 } };
    const { codes } = await post<Encoded>(server.base, `/v1/dictionaries/${id}/encode`, body);
    return codes[0]!.values[0]!;
  };
  const expected = (id: string, value: number): number => value / (IDS.indexOf(id) + 1);

  it("is ready at once, with nothing loaded", async () => {
    expect((await fetch(`${server.base}/health/ready`)).status).toBe(200);
    expect(await loaded()).toEqual([]);
    expect(server.runtimes()).toEqual([]);
    expect(await get(server.base, "/v1/dictionaries/a")).toMatchObject({ state: "registered", d: D, m: D });
    expect((await fetch(`${server.base}/v2/models/a/ready`)).status).toBe(200);
  });

  it("loads at the first request, and the least recently used makes room", async () => {
    for (const id of ["a", "b", "a", "c"]) expect(await ask(id, 2)).toBeCloseTo(expected(id, 2), 5);
    expect(await loaded()).toEqual(["a", "c"]);
    expect(server.log()).toMatch(/b is unloaded to make room/);
    // What was unloaded keeps its version.
    expect(await get(server.base, "/v1/dictionaries/b")).toMatchObject({
      state: "registered",
      sha256: expect.any(String),
    });
  });

  it("answers mixed traffic over all of them, each by its own dictionary, and loses nothing", async () => {
    const { next } = random(7);
    const requests = Array.from({ length: 30 }, (_, i) => ({
      id: IDS[Math.floor(next() * IDS.length)]!,
      value: i + 1,
    }));
    let at = 0;
    let most = 0;
    const client = async (): Promise<void> => {
      for (let request = requests[at++]; request !== undefined; request = requests[at++]) {
        const { id, value } = request;
        expect(await ask(id, value)).toBeCloseTo(expected(id, value), 3);
        most = Math.max(most, (await loaded()).length);
      }
    };
    await Promise.all(Array.from({ length: 6 }, client));
    expect(most).toBeLessThanOrEqual(2);
  });

  it("decodes, steers, transfers and infers on demand, too", async () => {
    const { outputs } = await post<{ outputs: number[][] }>(server.base, "/v1/dictionaries/d/decode", {
      codes: [{ indices: [0], values: [8] }],
    });
    expect(outputs[0]![0]).toBeCloseTo(2, 5);
    const edits = [{ feature: 0, op: "remove" }];
    const steered = await post<{ outputs: number[][] }>(server.base, "/v1/dictionaries/e/steer", {
      inputs: [[5, 1, 0, 0]],
      edits,
    });
    expect(steered.outputs[0]).toHaveLength(D);
    const body = { from: "a", to: "f", inputs: [[1, 0, 0, 0]], encoder: "own", budget: { max_atoms: 1 } };
    expect((await post<{ outputs: number[][] }>(server.base, "/v1/transfer", body)).outputs[0]![0]).toBeCloseTo(
      1 / 6,
      5,
    );
    const rows = { name: "rows", datatype: "FP32", shape: [1, D], data: [1, 0, 0, 0] };
    const parameters = { max_atoms: 1 };
    const inferred = await post<{ outputs: { name: string; data: number[] }[] }>(server.base, "/v2/models/b/infer", {
      inputs: [rows],
      parameters,
    });
    expect(inferred.outputs.find(({ name }) => name === "values")!.data[0]).toBeCloseTo(1 / 2, 5);
    expect(await get(server.base, "/v1/dictionaries/c/features/0")).toMatchObject({ index: 0 });
  });

  it("refuses what can never fit with both numbers, and serves the others on", async () => {
    const answer = await fetch(`${server.base}/v1/dictionaries/large/encode`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ inputs: [Array<number>(4096).fill(0)] }),
    });
    const { detail } = (await answer.json()) as { detail: string };
    expect(answer.status).toBeGreaterThanOrEqual(500);
    expect(detail).toMatch(/needs 352 MiB of memory; of the 279 MiB .* dictionaries may have 150 MiB/);
    expect(await ask("a", 3)).toBeCloseTo(3, 5);
  });

  it("answers 503 with retry-after where a load takes longer than a request may wait", async () => {
    const hasty = await startServer(models, temporaryFolder(), { ...ENV, PURSUIT_MAX_WAIT_MS: "1" });
    const body = JSON.stringify({ inputs: [[1, 0, 0, 0]], budget: { max_atoms: 1 } });
    const send = (): Promise<Response> =>
      fetch(`${hasty.base}/v1/dictionaries/a/encode`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body,
      });
    const first = await send();
    expect([first.status, first.headers.get("retry-after")]).toEqual([503, "1"]);
    expect(await first.json()).toMatchObject({ code: "PURSUIT_NOT_READY" });
    let answer = first;
    while (answer.status === 503) answer = await send();
    expect(answer.status).toBe(200);
    expect(await hasty.stop()).toBe(0);
  });
});
