/** Steering as HTTP has it, over a fake engine: what is handed on, what is answered, what is refused. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { pack, unpack } from "msgpackr";
import { EngineError } from "../../src/engine/core/errors.ts";
import { npyBytes } from "../support/npy-bytes.ts";
import { type TestApp, testApp } from "../support/test-app.ts";

const STEER = "/v1/dictionaries/small/steer";
const SETS = "/v1/dictionaries/small/steering";
const EDIT = { feature: 1, op: "add", value: 2 };
let test: TestApp;

beforeAll(async () => {
  test = await testApp();
});
afterAll(() => test.app.close());
afterEach(() => {
  test.engine.failure = null;
  test.engine.steers.length = 0;
  test.engine.sets.clear();
  test.stages.length = 0;
});

const send = (method: "POST" | "PUT" | "DELETE" | "GET", url: string, payload?: object, headers = {}) =>
  test.app.inject({
    method,
    url,
    ...(payload && { payload }),
    headers: { ...(payload && { "content-type": "application/json" }), ...headers },
  });

describe("steer", () => {
  const edits = JSON.stringify([EDIT, { vector: [0, 1], op: "project_out" }]);
  const asked = `set=calm&max_atoms=3&encoder=matching_pursuit&edits=${encodeURIComponent(edits)}`;
  const bytes = Buffer.from(Float32Array.of(1, 2, 3, 4).buffer);

  it.each([
    ["bytes", "application/octet-stream", bytes, "&dtype=float32&rows=2", undefined],
    [".npy", "application/x-npy", Buffer.from(npyBytes([2, 2], [1, 2, 3, 4])), "&rows=[1]", [1]],
    [".npy as bytes", "application/octet-stream", Buffer.from(npyBytes([2, 2], [1, 2, 3, 4])), "", undefined],
  ] as const)("takes rows as %s, the other fields in the query", async (_, type, payload, rest, only) => {
    const answer = await test.app.inject({
      method: "POST",
      url: `${STEER}?${asked}${rest}`,
      headers: { "content-type": type, accept: "application/octet-stream" },
      payload,
    });
    expect(answer.statusCode, answer.body).toBe(200);
    expect([...new Float32Array(Uint8Array.from(answer.rawPayload).buffer)]).toEqual([2, 3, 4, 5]);
    const [steered] = test.engine.steers;
    expect(steered).toMatchObject({ set: "calm", budget: { maxAtoms: 3 }, encoder: { kind: "matching_pursuit" } });
    expect(steered!.edits).toEqual([EDIT, { vector: [0, 1], op: "project_out" }]);
    expect(steered!.rows.data).toEqual(Float32Array.of(1, 2, 3, 4));
    expect(steered!.only).toEqual(only);
  });

  it("refuses fields of the query beside a body that holds fields, and unknown ones", async () => {
    const beside = await send("POST", `${STEER}?set=calm`, { inputs: [[1, 2]], edits: [EDIT] });
    expect(beside.statusCode).toBe(422);
    expect(beside.json().detail).toMatch(/set is in the query, but the body is application\/json/);
    const unknown = await test.app.inject({
      method: "POST",
      url: `${STEER}?dtype=float32&rows=2&edit=1`,
      headers: { "content-type": "application/octet-stream" },
      payload: bytes,
    });
    expect(unknown.statusCode).toBe(422);
    expect(unknown.json().detail).toMatch(/no field edit/);
  });

  it("hands rows, edits, set, mask and budget on, and answers rows with their changes", async () => {
    const answer = await send("POST", STEER, {
      inputs: [
        [1, 2],
        [3, 4],
      ],
      edits: [EDIT, { vector: [0, 1], op: "project_out" }],
      set: "calm",
      rows: [1],
      budget: { max_atoms: 3 },
    });
    expect(answer.json()).toEqual({
      dictionary: "small",
      sha256: "ab".repeat(32),
      outputs: [
        [2, 3],
        [4, 5],
      ],
      changes: [{ norm: 1.5 }, { norm: 1.5 }],
    });
    expect(test.engine.steers).toMatchObject([
      {
        rows: { count: 2, width: 2 },
        edits: [EDIT, { vector: [0, 1], op: "project_out" }],
        set: "calm",
        only: [1],
        budget: { maxAtoms: 3 },
        effect: false,
      },
    ]);
    expect(answer.headers["server-timing"]).toMatch(
      /^decode;.*queue;dur=1\.500, encode;dur=2\.250, steer;dur=0\.500, write;.*total;/,
    );
    expect(test.stages).toEqual(["decode", "queue", "encode", "steer", "write"]);
    expect(test.requests.at(-1)).toMatchObject({ route: "/v1/dictionaries/{id}/steer", status: 200 });
  });

  it("takes MessagePack, and answers the rows alone in every binary type", async () => {
    const payload = pack({
      inputs: { data: Buffer.from(Float32Array.of(1, 2, 3, 4).buffer), dtype: "float32", shape: [2, 2] },
      edits: [EDIT],
    });
    const post = (accept: string) =>
      test.app.inject({
        method: "POST",
        url: STEER,
        payload,
        headers: { "content-type": "application/msgpack", accept },
      });
    const octets = await post("application/octet-stream");
    expect(octets.headers["content-type"]).toBe("application/octet-stream");
    expect([...new Float32Array(Uint8Array.from(octets.rawPayload).buffer)]).toEqual([2, 3, 4, 5]);
    const { outputs } = unpack((await post("application/msgpack")).rawPayload) as {
      outputs: { data: Buffer; dtype: string; shape: number[] };
    };
    expect(outputs).toMatchObject({ dtype: "float32", shape: [2, 2] });
    expect([...new Float32Array(Uint8Array.from(outputs.data).buffer)]).toEqual([2, 3, 4, 5]);
    expect((await post("application/vnd.safetensors")).statusCode).toBe(200);
  });

  it("tells the effect of edits in JSON only", async () => {
    const body = { inputs: [[1, 2]], edits: [EDIT], include: ["effect"] };
    const answer = await send("POST", STEER, body, { accept: "application/octet-stream" });
    expect([answer.statusCode, answer.json().code]).toEqual([422, "PURSUIT_INVALID_FIELD"]);
    expect(answer.json().detail).toContain("application/octet-stream holds the rows only");
  });

  it("tells each row's edits and what moved, and echoes the shape of a batch", async () => {
    const answer = await send("POST", STEER, {
      inputs: [[[1, 2]], [[3, 4]]],
      set: "calm",
      edits: [EDIT],
      include: ["effect"],
    });
    expect(answer.json()).toMatchObject({
      shape: [2, 1, 2],
      changes: [
        {
          edits: [{ edit: 0, before: 0.5, after: 0.25 }],
          moved: [
            { feature: 1, before: 0, after: 0.1, asked: false },
            { feature: 2, before: 0.5, after: 0, asked: true },
          ],
        },
        {
          edits: [
            { edit: 0, set: "calm", feature: 2, before: 0.5, after: 0.25 },
            { edit: 0, before: 0.5, after: 0.25 },
          ],
          moved: [],
        },
      ],
    });
  });

  it.each([
    ["no edits and no set", {}, "PURSUIT_INVALID_FIELD", /edits is missing/],
    ["edits that are no list", { edits: {} }, "PURSUIT_INVALID_EDIT", /^edits must be a list/],
    [
      "a bad edit among good ones",
      { edits: [EDIT, { feature: 1, op: "x" }] },
      "PURSUIT_INVALID_EDIT",
      /^edits\[1\]\.op/,
    ],
    ["10,000 edits", { edits: Array.from({ length: 10_000 }, () => EDIT) }, "PURSUIT_INVALID_EDIT", /^edits\[256\]/],
    ["rows that are none", { edits: [EDIT], rows: ["0"] }, "PURSUIT_INVALID_EDIT", /^rows\[0\]/],
    ["a set's name that is none", { set: "../x" }, "PURSUIT_INVALID_FIELD", /^set /],
    ["degrade", { edits: [], on_overload: "degrade" }, "PURSUIT_INVALID_FIELD", /^on_overload/],
    ["an unknown field", { edits: [], format: "csr" }, "PURSUIT_INVALID_FIELD", /no field format/],
  ])("refuses %s", async (_, fields, code, detail) => {
    const answer = await send("POST", STEER, { inputs: [[1, 2]], ...fields });
    expect([answer.statusCode, answer.json()]).toEqual([
      422,
      expect.objectContaining({ code, detail: expect.stringMatching(detail) }),
    ]);
    expect(test.engine.steers).toEqual([]);
  });

  it("tells NaN from other bad JSON", async () => {
    const payload = '{"inputs": [[1, 2]], "edits": [{"feature": 1, "op": "add", "value": NaN}]}';
    const answer = await test.app.inject({
      method: "POST",
      url: STEER,
      payload,
      headers: { "content-type": "application/json" },
    });
    expect(answer.json()).toMatchObject({ status: 400, code: "PURSUIT_NAN_TOKEN" });
  });

  it("answers a fault of the engine with its status", async () => {
    test.engine.failure = new EngineError("PURSUIT_STEERING_SET_STALE", "It is stale.");
    expect((await send("POST", STEER, { inputs: [[1, 2]], set: "calm" })).json()).toMatchObject({ status: 409 });
  });
});

interface Part {
  readonly sets: readonly { readonly name: string; readonly edits: number }[];
  readonly next?: string;
}

describe("steering sets", () => {
  it("are made, changed, listed, fetched and deleted, each version with its etag", async () => {
    const made = await send("PUT", `${SETS}/calm`, { edits: [EDIT] }, { "if-none-match": "*" });
    const etag = made.headers["etag"] as string;
    const set = { name: "calm", sha256: "ab".repeat(32), stale: false, etag, edits: [EDIT] };
    expect([made.statusCode, made.json()]).toEqual([201, set]);
    expect((await send("GET", SETS)).json()).toEqual({
      sets: [{ ...set, edits: 1, bytes: JSON.stringify([EDIT]).length }],
    });
    const got = await send("GET", `${SETS}/calm`);
    expect([got.headers["etag"], got.json()]).toEqual([etag, set]);
    expect((await send("GET", `${SETS}/calm`, undefined, { "if-none-match": etag })).statusCode).toBe(304);
    const changed = await send("PUT", `${SETS}/calm`, { edits: [] }, { "if-match": etag });
    expect([changed.statusCode, changed.json()]).toMatchObject([200, { edits: [] }]);
    expect((await send("DELETE", `${SETS}/calm`)).statusCode).toBe(204);
    expect((await send("GET", SETS)).json()).toEqual({ sets: [] });
    expect(test.requests.at(-2)).toMatchObject({ route: "/v1/dictionaries/{id}/steering/{name}", status: 204 });
  });

  it("are listed in parts, without their edits", async () => {
    for (const name of ["d", "a", "c", "b", "e"]) await send("PUT", `${SETS}/${name}`, { edits: [EDIT] });
    const names: string[] = [];
    let next: string | undefined = "";
    const parts: number[] = [];
    while (next !== undefined) {
      const answer: Part = (await send("GET", `${SETS}?limit=2&after=${next}`)).json();
      parts.push(answer.sets.length);
      for (const { name, edits } of answer.sets) names.push(`${name}${edits}`);
      ({ next } = answer);
    }
    expect([names, parts]).toEqual([
      ["a1", "b1", "c1", "d1", "e1"],
      [2, 2, 1],
    ]);
    for (const limit of ["0", "1001", "x", "1e2", ""]) {
      const refused = await send("GET", `${SETS}?limit=${limit}`);
      expect(refused.json()).toMatchObject({ status: 422, code: "PURSUIT_INVALID_FIELD" });
    }
    expect((await send("GET", `${SETS}?page=2`)).json()).toMatchObject({ status: 422 });
  });

  it("have no more room once the store is full", async () => {
    test.engine.failure = new EngineError("PURSUIT_STATE_FULL", "Saved steering sets take 9 of 9 bytes allowed.");
    expect((await send("PUT", `${SETS}/calm`, { edits: [EDIT] })).json()).toMatchObject({
      status: 507,
      code: "PURSUIT_STATE_FULL",
    });
  });

  it("give an edit by a vector back as it came", async () => {
    const edits = [{ vector: [0.1, 2], op: "project_cap", min: -1 }];
    expect((await send("PUT", `${SETS}/calm`, { edits })).json()).toMatchObject({ edits });
    expect((await send("GET", `${SETS}/calm`)).json()).toMatchObject({ edits });
  });

  it("are not written over where the request expects another", async () => {
    await send("PUT", `${SETS}/calm`, { edits: [EDIT] });
    const failed = { status: 412, code: "PURSUIT_PRECONDITION_FAILED" };
    expect((await send("PUT", `${SETS}/calm`, { edits: [] }, { "if-none-match": "*" })).json()).toMatchObject(failed);
    expect((await send("PUT", `${SETS}/calm`, { edits: [] }, { "if-match": '"x"' })).json()).toMatchObject(failed);
    expect((await send("PUT", `${SETS}/other`, { edits: [] }, { "if-match": "*" })).json()).toMatchObject(failed);
    expect((await send("DELETE", `${SETS}/calm`, undefined, { "if-match": '"x"' })).json()).toMatchObject(failed);
    expect((await send("GET", `${SETS}/calm`)).json()).toMatchObject({ edits: [EDIT] });
  });

  it.each([
    ["GET", `${SETS}/none`, undefined, 404, "PURSUIT_STEERING_SET_NOT_FOUND"],
    ["DELETE", `${SETS}/none`, undefined, 404, "PURSUIT_STEERING_SET_NOT_FOUND"],
    ["GET", "/v1/dictionaries/none/steering", undefined, 404, "PURSUIT_DICTIONARY_NOT_FOUND"],
    ["PUT", `${SETS}/calm`, {}, 422, "PURSUIT_INVALID_FIELD"],
    ["PUT", `${SETS}/calm`, { edits: [{ op: "add" }] }, 422, "PURSUIT_INVALID_EDIT"],
    ["PUT", `${SETS}/calm`, undefined, 400, "PURSUIT_MALFORMED_BODY"],
    ["PUT", `${SETS}/.hidden`, { edits: [] }, 422, "PURSUIT_INVALID_FIELD"],
  ] as const)("%s %s of %j is %d", async (method, url, payload, status, code) => {
    expect((await send(method, url, payload)).json()).toMatchObject({ status, code });
  });
});
