/** What /v2 tells of the server and its dictionaries, and how it is asked: everything but infer. */
import type { InjectOptions } from "fastify";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { EngineError } from "../../src/engine/core/errors.ts";
import { type TestApp, testApp } from "../support/test-app.ts";
import { v2Body } from "../support/v2-body.ts";

let test: TestApp;
beforeAll(async () => {
  test = await testApp();
});
afterAll(() => test.app.close());
afterEach(() => {
  test.engine.failure = null;
  test.engine.ready = { ready: true };
});

/** Every answer of /v2 is of exactly this type: KServe's client reads no error of another. */
async function ask(request: InjectOptions | string) {
  const answer = await test.app.inject(request);
  expect(answer.headers["content-type"]).toBe("application/json");
  expect(answer.headers["x-request-id"]).toMatch(/./);
  return { status: answer.statusCode, body: answer.json<Record<string, unknown>>(), headers: answer.headers };
}
const ok = async (request: InjectOptions | string) => {
  const { status, body } = await ask(request);
  expect(status).toBe(200);
  return body;
};
const post = (url: string, payload?: string | object): InjectOptions => ({
  method: "POST",
  url,
  // As tritonclient posts: no content type.
  ...(payload !== undefined && { payload: typeof payload === "string" ? payload : JSON.stringify(payload) }),
});

describe("the server", () => {
  it("names itself and the extensions that it speaks, with and without a trailing slash", async () => {
    const expected = {
      name: "pursuit",
      version: "0.0.0-test",
      extensions: ["binary_tensor_data", "parameters", "model_configuration", "model_repository", "statistics"],
    };
    for (const url of ["/v2", "/v2/"]) expect(await ok(url)).toEqual(expected);
  });

  it("is live whatever becomes of its dictionaries, and ready when they are", async () => {
    expect(await ok("/v2/health/live")).toEqual({ live: true });
    expect(await ok("/v2/health/ready")).toEqual({ live: true, ready: true });
    test.engine.ready = { ready: false, reason: "The server is draining." };
    const { status, body, headers } = await ask("/v2/health/ready");
    expect([status, headers["retry-after"]]).toEqual([503, "1"]);
    expect(body).toEqual({ live: true, ready: false, error: "The server is draining." });
    expect(await ok("/v2/health/live")).toEqual({ live: true });
  });
});

describe("a model", () => {
  const rows = { name: "rows", datatype: "FP32", shape: [-1, 2] };

  it("is listed where it is ready", async () => {
    expect(await ok("/v2/models")).toEqual({ models: ["small"] });
  });

  it("shows its inputs and outputs, of its only version", async () => {
    const body = await ok("/v2/models/small");
    expect(body).toMatchObject({ name: "small", versions: ["1"], platform: "onnx_onnxv1" });
    expect(body["inputs"]).toEqual([
      rows,
      { name: "max_atoms", datatype: "INT32", shape: [-1, 1] },
      { name: "tolerance", datatype: "FP32", shape: [-1, 1] },
    ]);
    expect(body["outputs"]).toEqual([
      { name: "indices", datatype: "INT32", shape: [-1, -1] },
      { name: "values", datatype: "FP32", shape: [-1, -1] },
      { name: "atoms", datatype: "INT32", shape: [-1] },
      { name: "relative_error", datatype: "FP32", shape: [-1] },
      { name: "stop", datatype: "BYTES", shape: [-1] },
      { name: "steps", datatype: "INT32", shape: [-1] },
      { name: "residual_norm", datatype: "FP32", shape: [-1] },
      { name: "reconstruction", datatype: "FP32", shape: [-1, 2] },
    ]);
    expect(await ok("/v2/models/small/versions/1")).toEqual(body);
  });

  it("shows a configuration that agrees with it: what perf_analyzer cannot do without", async () => {
    const body = await ok("/v2/models/small/config");
    expect(body).toMatchObject({
      name: "small",
      max_batch_size: 100,
      dynamic_batching: {},
      model_transaction_policy: { decoupled: false },
      parameters: { kind: { string_value: "matching_pursuit" }, runtime: { string_value: "cpu" } },
    });
    const metadata = await ok("/v2/models/small");
    for (const [part, tensors] of [
      ["input", metadata["inputs"]],
      ["output", metadata["outputs"]],
    ] as const) {
      const configured = body[part] as { name: string; data_type: string; dims: number[]; optional?: boolean }[];
      expect(configured.map(({ name }) => name)).toEqual((tensors as { name: string }[]).map(({ name }) => name));
      for (const { dims, data_type } of configured) {
        expect(dims.length).toBeGreaterThan(0);
        expect(data_type).toMatch(/^TYPE_(FP32|INT32|STRING)$/);
      }
    }
    expect((body["input"] as { optional: boolean }[]).map(({ optional }) => optional)).toEqual([false, true, true]);
    expect(await ok("/v2/models/small/versions/1/config")).toEqual(body);
  });

  it("says whether it is ready, to clients that read the status and to those that read the body", async () => {
    for (const url of ["/v2/models/small/ready", "/v2/models/small/versions/1/ready"])
      expect(await ok(url)).toEqual({ name: "small", ready: true, live: true });
    const { status, body } = await ask("/v2/models/broken/ready");
    expect(status).toBe(503);
    expect(body).toEqual({ name: "broken", ready: false, live: true, error: "Dictionary broken is failed." });
  });

  it("that is broken says what is wrong where its shape is asked for", async () => {
    for (const url of ["/v2/models/broken", "/v2/models/broken/config"])
      expect(await ask(url)).toMatchObject({
        status: 503,
        body: { error: expect.stringMatching(/atoms: one is zero/) },
      });
  });

  it.each(["", "/ready", "/config", "/stats"])("that is not there is 404: %s", async (part) => {
    const { status, body } = await ask(`/v2/models/none${part}`);
    expect([status, Object.keys(body)]).toEqual([404, ["error"]]);
    expect((await ask(`/v2/models/small/versions/2${part}`)).status).toBe(404);
  });
});

describe("statistics", () => {
  /** Every key that perf_analyzer parses, each an unsigned integer. */
  const DURATIONS = [
    "success",
    "fail",
    "queue",
    "compute_input",
    "compute_infer",
    "compute_output",
    "cache_hit",
    "cache_miss",
  ];
  type Stats = {
    name: string;
    version: string;
    last_inference: number;
    inference_count: number;
    execution_count: number;
    inference_stats: Record<string, { count: number; ns: number }>;
    batch_stats: unknown[];
  };
  const statsOf = async (app: TestApp, url = "/v2/models/small/stats"): Promise<Stats[]> =>
    (await app.app.inject(url)).json<{ model_stats: Stats[] }>().model_stats;

  it("count requests, rows, failures and batches", async () => {
    const fresh = await testApp();
    const infer = (data: number[]) =>
      fresh.app.inject({
        method: "POST",
        url: "/v2/models/small/infer",
        ...v2Body([{ name: "rows", datatype: "FP32", shape: [2, 2], data }]),
      });
    const [before] = await statsOf(fresh);
    expect(before).toMatchObject({ inference_count: 0, last_inference: 0 });
    await infer([1, 2, 3, 4]);
    await infer([1, 2, 3, 4]);
    await infer([1]);
    const [after] = await statsOf(fresh);
    expect(after).toMatchObject({ name: "small", version: "1", inference_count: 4, execution_count: 3 });
    expect(after!.last_inference).toBeGreaterThan(1.7e12);
    expect(Object.keys(after!.inference_stats)).toEqual(DURATIONS);
    for (const { count, ns } of Object.values(after!.inference_stats))
      expect([Number.isSafeInteger(count), Number.isSafeInteger(ns), ns >= 0]).toEqual([true, true, true]);
    expect(after!.inference_stats).toMatchObject({
      success: { count: 2 },
      fail: { count: 1 },
      queue: { count: 2, ns: 3_000_000 },
      compute_infer: { count: 2, ns: 4_500_000 },
      cache_hit: { count: 0, ns: 0 },
    });
    const none = { count: 0, ns: 0 };
    expect(after!.batch_stats).toEqual([
      { batch_size: 2, compute_input: none, compute_infer: { count: 3, ns: 500_000_000 }, compute_output: none },
    ]);
    expect((await statsOf(fresh, "/v2/models/stats")).map(({ name }) => name)).toEqual(["small", "broken"]);
    expect(await statsOf(fresh, "/v2/models/small/versions/1/stats")).toEqual([after]);
    await fresh.app.close();
  });
});

describe("the repository", () => {
  it.each([
    ["no body", undefined],
    ["an empty one", ""],
    ["an empty object", {}],
  ])("lists every dictionary, asked with %s", async (_what, payload) => {
    expect(await ok(post("/v2/repository/index", payload))).toEqual([
      { name: "small", version: "1", state: "READY", reason: "" },
      { name: "broken", version: "1", state: "UNAVAILABLE", reason: "atoms: one is zero. center is missing." },
    ]);
  });

  it("lists the ready ones only, if asked", async () => {
    const body = await ok(post("/v2/repository/index", { ready: true }));
    expect(body).toEqual([{ name: "small", version: "1", state: "READY", reason: "" }]);
    expect((await ask(post("/v2/repository/index", { ready: 1 }))).status).toBe(422);
    expect((await ask(post("/v2/repository/index", "[]"))).status).toBe(422);
  });

  it("loads and unloads, whatever harmless its clients send along", async () => {
    test.engine.changes.length = 0;
    expect(await ok(post("/v2/repository/models/small/load"))).toEqual({ name: "small", load: true });
    expect(await ok(post("/v2/repository/models/small/load", { parameters: {} }))).toEqual({
      name: "small",
      load: true,
    });
    const unload = post("/v2/repository/models/small/unload", { parameters: { unload_dependents: false } });
    expect(await ok(unload)).toEqual({ name: "small", unload: true });
    expect(test.engine.changes).toEqual([
      ["load", "small"],
      ["load", "small"],
      ["unload", "small"],
    ]);
  });

  it("takes no configuration and no files: a dictionary is what its folder holds", async () => {
    test.engine.changes.length = 0;
    for (const name of ["config", "file:1/model.onnx"]) {
      const { status, body } = await ask(post("/v2/repository/models/small/load", { parameters: { [name]: "x" } }));
      expect([status, body["error"]]).toEqual([422, expect.stringContaining(name)]);
    }
    expect(test.engine.changes).toEqual([]);
  });

  it.each(["%2e%2e%2fmodels", "..%2f..", ".hidden", "a%00b"])("asks the engine for no such name: %s", async (name) => {
    test.engine.changes.length = 0;
    expect((await ask(post(`/v2/repository/models/${name}/load`))).status).toBe(404);
    expect(test.engine.changes).toEqual([]);
  });

  it("says that a dictionary is being replaced, and when to come again", async () => {
    test.engine.failure = new EngineError("PURSUIT_BEING_REPLACED", "It is being replaced.", { retryAfter: 1 });
    const { status, body, headers } = await ask(post("/v2/repository/models/small/load"));
    expect([status, body, headers["retry-after"]]).toEqual([409, { error: "It is being replaced." }, "1"]);
  });
});

describe("what is asked in the wrong way", () => {
  it.each([
    ["POST", "/v2", "GET, HEAD"],
    ["POST", "/v2/health/ready", "GET, HEAD"],
    ["DELETE", "/v2/models/small", "GET, HEAD"],
    ["GET", "/v2/models/small/infer", "POST"],
    ["PUT", "/v2/models/small/versions/1/infer", "POST"],
    ["GET", "/v2/repository/index", "POST"],
    ["GET", "/v2/repository/models/small/load", "POST"],
  ] as const)("%s %s is 405 and names %s", async (method, url, allow) => {
    const { status, body, headers } = await ask({ method, url });
    expect([status, headers["allow"], Object.keys(body)]).toEqual([405, allow, ["error"]]);
    expect(body["error"]).toContain(`${method} ${url}`);
  });

  it.each(["/v2/nothing", "/v2/models/small/generate", "/v2/systemsharedmemory/status", "/v2/logging"])(
    "%s is 404, in the words of /v2",
    async (url) => {
      const { status, body } = await ask(url);
      expect([status, Object.keys(body)]).toEqual([404, ["error"]]);
    },
  );

  it("an unreadable path is 400, in the words of /v2", async () => {
    expect(await ask("/v2/models/%zz")).toMatchObject({ status: 400, body: { error: expect.stringMatching(/%zz/) } });
  });
});
