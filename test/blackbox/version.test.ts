/** A dictionary's version over the socket: settings replaced under unchanged weights, sets bound by earlier releases. */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { type IncomingMessage, request } from "node:http";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { describe, expect, it } from "vitest";
import { setFileText, storedSet } from "../../src/engine/serving/steering/set-file.ts";
import type { PursuitSettings } from "../../src/engine/core/dictionary.ts";
import { type Encoded, get, post } from "../support/client.ts";
import { itInFull } from "../support/full.ts";
import { writeModelFolder } from "../support/model-folder.ts";
import { type RunningServer, startServer } from "../support/running-server.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

const PATH = "/v1/dictionaries/small";
const EDITS = [{ feature: 1, op: "add", value: 1 }] as const;
/** The atoms are the axes: by `signed` the first value wins, by `absolute` the second. */
const ROW = [2, -3, 0, 0];
const D = ROW.length;

const write = (models: string, settings: Partial<PursuitSettings>): string =>
  writeModelFolder(models, "small", {
    atoms: Float32Array.from({ length: D * D }, (_, i) => Number(i % (D + 1) === 0)),
    d: D,
    settings,
  });

const put = (server: RunningServer, name: string): Promise<Response> =>
  fetch(`${server.base}${PATH}/steering/${name}`, {
    method: "PUT",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ edits: EDITS }),
  });

describe("a dictionary whose settings are replaced and whose weights are not", () => {
  it("is another version: for its answers, for a stream under way, and for its steering sets", async () => {
    const models = temporaryFolder();
    const file = join(write(models, { score: "signed" }), "weights.safetensors");
    const weights = readFileSync(file);
    const server = await startServer(models, temporaryFolder());
    const encode = (): Promise<Encoded> =>
      post(server.base, `${PATH}/encode`, { inputs: [ROW], budget: { max_atoms: 1 } });
    const before = await encode();
    expect(before.codes[0]).toMatchObject({ indices: [0], values: [2] });
    expect((await put(server, "calm")).status).toBe(201);

    const headers = { "content-type": "application/x-ndjson" };
    const call = request(`${server.base}${PATH}/encode?max_atoms=1`, { method: "POST", headers });
    const line = `${JSON.stringify(ROW)}\n`;
    call.write(line);
    const [answer] = (await once(call, "response")) as [IncomingMessage];
    const lines = createInterface({ input: answer })[Symbol.asyncIterator]();
    const next = async (): Promise<unknown> => JSON.parse((await lines.next()).value as string);
    expect(await next()).toMatchObject({ indices: [0], values: [2] });

    write(models, { score: "absolute" });
    expect(readFileSync(file)).toEqual(weights);
    const loaded = await fetch(`${server.base}/v2/repository/models/small/load`, { method: "POST" });
    expect(loaded.status).toBe(200);
    call.end(line);
    expect(await next()).toMatchObject({ error: { code: "PURSUIT_BEING_REPLACED" }, line: 2 });

    const after = await encode();
    expect(after.codes[0]).toMatchObject({ indices: [1], values: [-3] });
    expect(after.sha256).not.toBe(before.sha256);
    expect(await get(server.base, PATH)).toMatchObject({ sha256: after.sha256 });
    expect(await get(server.base, `${PATH}/steering/calm`)).toMatchObject({ sha256: before.sha256, stale: true });
    const steered = post(server.base, `${PATH}/steer`, { inputs: [ROW], set: "calm" });
    await expect(steered).rejects.toThrow(/409.*PURSUIT_STEERING_SET_STALE/);
    expect(await server.stop()).toBe(0);
  });
});

describe("a steering set bound to the weights file's digest, as earlier releases did", () => {
  itInFull("is bound to the version at the first load, and to no version of other weights", async () => {
    const models = temporaryFolder();
    const cache = temporaryFolder();
    const sets = join(cache, "state", "steering", "small");
    const weights = readFileSync(join(write(models, {}), "weights.safetensors"));
    const digest = createHash("sha256").update(weights).digest("hex");
    mkdirSync(sets, { recursive: true });
    writeFileSync(join(sets, "old.json"), setFileText(storedSet(digest, JSON.stringify(EDITS))));
    writeFileSync(join(sets, "foreign.json"), setFileText(storedSet("ab".repeat(32), JSON.stringify(EDITS))));

    let server = await startServer(models, cache);
    expect(server.log()).toMatch(/The steering set old of small is now bound to the sha256 of its version/);
    const { sha256 } = await get<{ sha256: string }>(server.base, PATH);
    expect(sha256).not.toBe(digest);
    expect(await get(server.base, `${PATH}/steering`)).toMatchObject({
      sets: [
        { name: "foreign", sha256: "ab".repeat(32), stale: true },
        { name: "old", sha256, stale: false },
      ],
    });
    expect(await post(server.base, `${PATH}/steer`, { inputs: [ROW], set: "old" })).toMatchObject({
      outputs: [[2, -2, 0, 0]],
    });
    expect(await server.stop()).toBe(0);

    write(models, { score: "signed" });
    server = await startServer(models, cache);
    expect(server.log()).not.toMatch(/now bound/);
    expect(await get(server.base, `${PATH}/steering/old`)).toMatchObject({ sha256, stale: true });
    expect(await server.stop()).toBe(0);
  });
});
