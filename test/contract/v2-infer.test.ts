/** POST /v2/models/{model}/infer as far as no socket is needed: what is read, what is answered, what is refused. */
import { brotliCompressSync, deflateSync, gunzipSync, gzipSync, inflateSync } from "node:zlib";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { EngineError } from "../../src/engine/core/errors.ts";
import { type TestApp, testApp } from "../support/test-app.ts";
import { bytesOf, type PostedInput, unpackAnswer, v2Body } from "../support/v2-body.ts";

const INFER = "/v2/models/small/infer";
const ROWS = [1, 2, 3, 4];
const JSON_ROWS: PostedInput = { name: "rows", datatype: "FP32", shape: [2, 2], data: ROWS };
const BINARY_ROWS: PostedInput = { ...JSON_ROWS, data: bytesOf(Float32Array.from(ROWS)) };
let test: TestApp;

beforeAll(async () => {
  test = await testApp({ maxBody: 1 << 16, compressFrom: 1024 });
});
afterAll(() => test.app.close());
afterEach(() => {
  test.engine.failure = null;
});

async function post(payload: Buffer | string, headers: Readonly<Record<string, string>> = {}, url = INFER) {
  const answer = await test.app.inject({ method: "POST", url, payload, headers: { ...headers } });
  return { status: answer.statusCode, headers: answer.headers, bytes: answer.rawPayload };
}

const send = (inputs: readonly PostedInput[], fields: object = {}, headers: Readonly<Record<string, string>> = {}) => {
  const body = v2Body(inputs, fields);
  return post(body.payload, { ...body.headers, ...headers });
};

/** The answer to a request that must be accepted. */
async function infer(inputs: readonly PostedInput[], fields: object = {}) {
  const { status, headers, bytes } = await send(inputs, fields);
  if (status !== 200) throw new Error(bytes.toString());
  const length = headers["inference-header-content-length"];
  expect(headers["content-type"]).toBe(length === undefined ? "application/json" : "application/octet-stream");
  return unpackAnswer(bytes, length === undefined ? undefined : Number(length));
}

/** The words of a refusal. */
async function refusal(sent: ReturnType<typeof post>): Promise<{ status: number; error: string }> {
  const { status, headers, bytes } = await sent;
  expect(headers["content-type"]).toBe("application/json");
  expect(headers["x-request-id"]).toMatch(/./);
  const body = JSON.parse(bytes.toString()) as { error: string };
  expect(Object.keys(body)).toEqual(["error"]);
  return { status, error: body.error };
}

const asked = () => test.engine.encodes.at(-1)!.request;

describe("an answer", () => {
  it("holds the standard outputs, in JSON unless binary is asked for", async () => {
    const answer = await infer([JSON_ROWS]);
    expect(answer).toMatchObject({ model_name: "small", model_version: "1" });
    expect(answer.outputs).toEqual([
      { name: "indices", datatype: "INT32", shape: [2, 1], binary: false, data: [0, 0] },
      { name: "values", datatype: "FP32", shape: [2, 1], binary: false, data: [1, 3] },
      { name: "atoms", datatype: "INT32", shape: [2], binary: false, data: [1, 1] },
      { name: "relative_error", datatype: "FP32", shape: [2], binary: false, data: [0.25, 0.25] },
      { name: "stop", datatype: "BYTES", shape: [2], binary: false, data: ["max_atoms", "max_atoms"] },
    ]);
    const binary = await infer([JSON_ROWS], { parameters: { binary_data_output: true } });
    expect(binary.outputs).toEqual(answer.outputs.map((output) => ({ ...output, binary: true })));
  });

  it("holds what is named, in that order, each in its own form", async () => {
    const outputs = [
      { name: "reconstruction" },
      { name: "stop", parameters: { binary_data: true } },
      { name: "steps", parameters: { binary_data: false } },
      { name: "residual_norm" },
    ];
    const answer = await infer([JSON_ROWS], { outputs, parameters: { binary_data_output: true } });
    expect(answer.outputs.map(({ name, binary, shape }) => [name, binary, shape])).toEqual([
      ["reconstruction", true, [2, 2]],
      ["stop", true, [2]],
      ["steps", false, [2]],
      ["residual_norm", true, [2]],
    ]);
    expect(answer.outputs[0]!.data).toEqual([1, 0, 3, 0]);
    expect(asked()).toMatchObject({ reconstruction: true, trace: false });
    await infer([JSON_ROWS]);
    expect(asked().reconstruction).toBe(false);
  });

  it("echoes the id, and says how long it took", async () => {
    expect(await infer([JSON_ROWS], { id: "mine" })).toMatchObject({ id: "mine" });
    expect(await infer([JSON_ROWS])).not.toHaveProperty("id");
    const { headers } = await send([JSON_ROWS]);
    expect(headers["server-timing"]).toMatch(/^decode;dur=[\d.]+, queue;dur=1\.500, encode;dur=2\.250, write;.*total/);
  });

  it("is the same at …/versions/1", async () => {
    const { payload } = v2Body([JSON_ROWS]);
    const answer = await post(payload, {}, "/v2/models/small/versions/1/infer");
    expect(answer.bytes).toEqual((await post(payload)).bytes);
    expect((await refusal(post(payload, {}, "/v2/models/small/versions/2/infer"))).status).toBe(404);
  });
});

describe("rows", () => {
  const types = {
    FP32: Float32Array.from(ROWS),
    FP64: Float64Array.from(ROWS),
    FP16: Uint16Array.of(0x3c00, 0x4000, 0x4200, 0x4400),
    BF16: Uint16Array.of(0x3f80, 0x4000, 0x4040, 0x4080),
  };
  it.each(Object.keys(types) as (keyof typeof types)[])("come as %s in binary", async (datatype) => {
    await infer([{ ...JSON_ROWS, datatype, data: bytesOf(types[datatype]) }]);
    expect(asked().rows).toEqual({ data: Float32Array.from(ROWS), count: 2, width: 2 });
  });

  it.each(["FP32", "FP64"])("come as %s in JSON, flat or nested", async (datatype) => {
    const nested = [
      [1, 2],
      [3, 4],
    ];
    for (const data of [ROWS, nested]) {
      await infer([{ ...JSON_ROWS, datatype, data }]);
      expect([...asked().rows.data]).toEqual(ROWS);
    }
  });

  it("come raw, the header being 0: the answer is binary", async () => {
    const answer = await post(Buffer.from(bytesOf(Float32Array.from(ROWS))), {
      "inference-header-content-length": "0",
    });
    const { outputs } = unpackAnswer(answer.bytes, Number(answer.headers["inference-header-content-length"]));
    expect(outputs.map(({ name, binary }) => [name, binary])).toEqual(
      ["indices", "values", "atoms", "relative_error", "stop"].map((name) => [name, true]),
    );
    expect(asked().rows).toEqual({ data: Float32Array.from(ROWS), count: 2, width: 2 });
    expect(await refusal(post(Buffer.alloc(12), { "inference-header-content-length": "0" }))).toEqual({
      status: 400,
      error: expect.stringMatching(/12 bytes.*rows of 2 FP32 numbers, 8 bytes each/),
    });
  });

  it("come as JSON, as bytes or without a content type, and with the header although all is JSON", async () => {
    const { payload } = v2Body([JSON_ROWS]);
    for (const headers of [
      {},
      { "content-type": "application/octet-stream" },
      { "content-type": "application/json; charset=utf-8" },
      { "content-type": "application/json", "inference-header-content-length": String(payload.length) },
    ])
      expect((await post(payload, headers)).status).toBe(200);
  });
});

describe("a budget", () => {
  it("comes as parameters, for all rows", async () => {
    const parameters = { max_atoms: 7, tolerance: 0.5, residual_norm: 0.25, min_gain: 0.125, group: 4 };
    await infer([JSON_ROWS], { parameters });
    expect(asked().budget).toEqual({ maxAtoms: 7, tolerance: 0.5, residualNorm: 0.25, minGain: 0.125, group: 4 });
    await infer([JSON_ROWS]);
    expect(asked().budget).toBeNull();
  });

  it.each([
    ["INT32", Int32Array.of(3, 5)],
    ["INT64", BigInt64Array.of(3n, 5n)],
    ["UINT64", BigUint64Array.of(3n, 5n)],
    ["UINT8", Uint8Array.of(3, 5)],
    ["INT16", Int16Array.of(3, 5)],
  ])("comes as a tensor of %s, one entry a row, beside parameters", async (datatype, numbers) => {
    for (const shape of [[2], [2, 1]]) {
      const input = { name: "max_atoms", datatype, shape, data: bytesOf(numbers) };
      // Binary data lies in the order of the inputs, whatever their order.
      for (const inputs of [
        [input, BINARY_ROWS],
        [BINARY_ROWS, input],
        [JSON_ROWS, input],
      ]) {
        await infer(inputs, { parameters: { min_gain: 0.5 } });
        expect(asked().budget).toEqual([
          { maxAtoms: 3, minGain: 0.5 },
          { maxAtoms: 5, minGain: 0.5 },
        ]);
        expect([...asked().rows.data]).toEqual(ROWS);
      }
    }
  });

  it("comes as tensors of several kinds at once", async () => {
    const inputs: PostedInput[] = [
      { name: "tolerance", datatype: "FP64", shape: [2], data: bytesOf(Float64Array.of(0.1, 0.2)) },
      { name: "max_atoms", datatype: "INT32", shape: [2, 1], data: [[1], [2]] },
    ];
    await infer([JSON_ROWS, ...inputs]);
    expect(asked().budget).toEqual([
      { maxAtoms: 1, tolerance: 0.1 },
      { maxAtoms: 2, tolerance: 0.2 },
    ]);
  });

  it("of time is in microseconds, 0 being none", async () => {
    const before = test.engine.now();
    await infer([JSON_ROWS], { parameters: { timeout: 5_000_000 } });
    const { deadline } = test.engine.encodes.at(-1)!.context;
    expect(deadline! - before).toBeGreaterThan(4_000);
    expect(deadline! - test.engine.now()).toBeLessThanOrEqual(5_000);
    await infer([JSON_ROWS], { parameters: { timeout: 0 } });
    expect(test.engine.encodes.at(-1)!.context.deadline).toBeUndefined();
  });

  it("may be shortened under load, if the request says so", async () => {
    for (const [onOverload, degrade] of [
      ["degrade", true],
      ["reject", false],
    ] as const) {
      await infer([JSON_ROWS], { parameters: { on_overload: onOverload } });
      expect(asked()).toMatchObject({ degrade });
    }
    expect(await refusal(send([JSON_ROWS], { parameters: { on_overload: 1 } }))).toMatchObject({ status: 422 });
  });

  it("may be encoded orthogonally, if the request says so", async () => {
    await infer([JSON_ROWS], { parameters: { encoder: "orthogonal" } });
    expect(asked().encoder).toEqual({ kind: "orthogonal" });
    await infer([JSON_ROWS]);
    expect(asked().encoder).toBeUndefined();
    await infer([JSON_ROWS], { parameters: { encoder: "own" } });
    expect(asked().encoder).toBeUndefined();
    await infer([JSON_ROWS], { parameters: { encoder: '{"kind": "matching_pursuit", "score": "signed"}' } });
    expect(asked().encoder).toEqual({ kind: "matching_pursuit", score: "signed" });
    const { status, error } = await refusal(send([JSON_ROWS], { parameters: { encoder: "plain" } }));
    expect([status, error]).toEqual([422, expect.stringContaining("parameters.encoder must be own, matching_pursuit")]);
  });

  it("of parameters that other servers know is no hindrance", async () => {
    await infer([JSON_ROWS], { parameters: { priority: 1 }, model_name: "small" });
  });
});

describe("a model that is replaced while its rows are read", () => {
  const replaceIt = (): void => {
    const { engine } = test;
    const encode = engine.encode.bind(engine);
    vi.spyOn(engine, "encode").mockImplementationOnce((...call) => {
      engine.sha256 = "cd".repeat(32);
      return encode(...call);
    });
  };
  afterEach(() => {
    test.engine.sha256 = "ab".repeat(32);
  });

  it("says so instead of answering by atoms that were not asked for", async () => {
    replaceIt();
    const { status, error } = await refusal(send([JSON_ROWS]));
    expect([status, error]).toEqual([409, expect.stringContaining("Dictionary small was replaced meanwhile")]);
  });

  it("says so where the next version takes rows of another width", async () => {
    replaceIt();
    test.engine.failure = new EngineError(
      "PURSUIT_WRONG_WIDTH",
      "The rows are 2 wide; this dictionary takes rows of 3.",
    );
    const { status, error } = await refusal(send([JSON_ROWS]));
    expect([status, error]).toEqual([409, expect.stringContaining("Dictionary small was replaced meanwhile")]);
  });

  it("blames the rows where it was not", async () => {
    test.engine.failure = new EngineError(
      "PURSUIT_WRONG_WIDTH",
      "The rows are 2 wide; this dictionary takes rows of 3.",
    );
    expect((await refusal(send([JSON_ROWS]))).status).toBe(422);
  });
});

describe("what is refused", () => {
  const input = (change: object): PostedInput[] => [{ ...JSON_ROWS, ...change }];
  const twice = bytesOf(Float64Array.from(ROWS));
  const cases: readonly [string, readonly PostedInput[], object, number, RegExp][] = [
    ["an unknown input", input({ name: "row" }), {}, 422, /no input "row"; there are rows, max_atoms, tolerance/],
    [
      "an unknown output",
      [JSON_ROWS],
      { outputs: [{ name: "codes" }] },
      422,
      /no output "codes"; there are indices, v/,
    ],
    ["an output of a dictionary with a norm", [JSON_ROWS], { outputs: [{ name: "shift" }] }, 422, /no output "shift"/],
    ["an output asked for twice", [JSON_ROWS], { outputs: [{ name: "stop" }, { name: "stop" }] }, 422, /twice/],
    ["an unknown parameter", [JSON_ROWS], { parameters: { max_atom: 3 } }, 422, /no parameter "max_atom"/],
    [
      "a parameter of another type",
      [JSON_ROWS],
      { parameters: { tolerance: "0.1" } },
      422,
      /parameters.tolerance must/,
    ],
    [
      "a budget that is sent twice",
      [JSON_ROWS, { name: "max_atoms", datatype: "INT32", shape: [2], data: [1, 2] }],
      { parameters: { max_atoms: 3 } },
      422,
      /an input and a parameter/,
    ],
    [
      "a budget for other rows",
      [JSON_ROWS, { name: "max_atoms", datatype: "INT32", shape: [3], data: [1, 2, 3] }],
      {},
      422,
      /must be of shape \[2\].*it is \[3\]/,
    ],
    [
      "a budget of floats",
      [JSON_ROWS, { name: "max_atoms", datatype: "FP32", shape: [2], data: [1, 2] }],
      {},
      422,
      /max_atoms takes INT32.*it is FP32/,
    ],
    [
      "a count that is none",
      [JSON_ROWS, { name: "max_atoms", datatype: "INT32", shape: [2], data: [1, 2.5] }],
      {},
      422,
      /number 1 of its data must be an integer; it is 2.5/,
    ],
    ["no rows", [], {}, 422, /The input rows is missing/],
    ["rows that are there twice", [JSON_ROWS, JSON_ROWS], {}, 422, /Input rows is there twice/],
    ["rows of no number", input({ shape: [0, 2], data: [] }), {}, 422, /holds no rows/],
    ["rows of the wrong width", input({ shape: [1, 4] }), {}, 422, /\[1, 4\]; this dictionary takes rows of 2/],
    ["rows without a batch", input({ shape: [4] }), {}, 422, /must be of shape \[n, 2\]; it is \[4\]/],
    [
      "more numbers than the shape says",
      input({ data: [1, 2, 3, 4, 5] }),
      {},
      400,
      /holds 5 numbers; shape \[2, 2\] takes 4/,
    ],
    ["nested lists that only seem right", input({ data: [1, [2, 3, 4, 5]] }), {}, 400, /holds 5 numbers/],
    [
      "a text among the numbers",
      input({ data: [1, 2, "3", 4] }),
      {},
      422,
      /number 2 of its data must be a number; it is "3"/,
    ],
    ["a null among the numbers", input({ data: [null, 2, 3, 4] }), {}, 422, /number 0.*null/],
    ["FP16 in JSON", input({ datatype: "FP16" }), {}, 422, /JSON has no FP16; send it as binary data/],
    ["BF16 in JSON", input({ datatype: "BF16" }), {}, 422, /JSON has no BF16/],
    ["rows of integers", input({ datatype: "INT32" }), {}, 422, /takes FP32, FP64, FP16 or BF16; it is INT32/],
    ["texts", input({ datatype: "BYTES" }), {}, 422, /BYTES/],
    ["an unheard-of type", input({ datatype: "FP8" }), {}, 422, /datatype must be one of the protocol's; it is "FP8"/],
    ["neither data nor its size", input({ data: undefined }), {}, 422, /neither data nor parameters.binary_data_size/],
    [
      "binary data of twice the length",
      [{ ...JSON_ROWS, data: twice }],
      {},
      400,
      /binary_data_size is 32.*takes 16. It is twice/,
    ],
    [
      "shared memory",
      input({ data: undefined, parameters: { shared_memory_region: "a" } }),
      {},
      422,
      /no shared memory/,
    ],
    ["an odd shape", input({ shape: [2, -1] }), {}, 422, /shape must be a list of sizes, 0 or more; it is \[2,-1\]/],
    ["a shape beyond any number", input({ shape: [2 ** 31, 2 ** 31] }), {}, 422, /larger than any body/],
    [
      "too many rows",
      input({ shape: [101, 2], data: Array.from({ length: 202 }, () => 1) }),
      {},
      413,
      /101 rows; at most 100/,
    ],
    ["nesting", input({ data: [[[[[1]]]]] }), {}, 422, /deeper than 5/],
    ["an id that is none", [JSON_ROWS], { id: {} }, 422, /id must be text/],
    ["an id longer than any", [JSON_ROWS], { id: "x".repeat(4097) }, 422, /at most 4096 characters/],
    [
      "classification",
      [JSON_ROWS],
      { outputs: [{ name: "values", parameters: { classification: 3 } }] },
      422,
      /classification/,
    ],
  ];
  it.each(cases)("%s", async (_what, inputs, fields, status, error) => {
    const before = test.engine.encodes.length;
    expect(await refusal(send(inputs, fields))).toEqual({ status, error: expect.stringMatching(error) });
    expect(test.engine.encodes).toHaveLength(before);
  });

  it("a body that is not what it says", async () => {
    const { payload, headers } = v2Body([BINARY_ROWS]);
    const length = Number(headers["inference-header-content-length"]);
    const sent = (bytes: Buffer, header?: string) =>
      refusal(post(bytes, header === undefined ? {} : { "inference-header-content-length": header }));
    expect(await sent(payload.subarray(0, -1), String(length))).toMatchObject({
      status: 400,
      error: expect.stringMatching(/takes 16 bytes of binary data; 15 are left/),
    });
    expect(await sent(Buffer.concat([payload, Buffer.alloc(3)]), String(length))).toMatchObject({
      status: 400,
      error: expect.stringMatching(/3 bytes follow the last/),
    });
    expect(await sent(payload, "9999")).toMatchObject({
      status: 400,
      error: expect.stringMatching(/is 9999; the body holds/),
    });
    expect(await sent(payload, "a few")).toMatchObject({
      status: 422,
      error: expect.stringMatching(/must be a number of bytes/),
    });
    expect(await sent(payload.subarray(0, length))).toMatchObject({
      status: 422,
      error: expect.stringMatching(/say where it begins by the header/),
    });
    expect(await sent(payload, String(length - 1))).toMatchObject({
      status: 400,
      error: expect.stringMatching(/not JSON/),
    });
    expect(await sent(Buffer.from('{"inputs": 7}'))).toMatchObject({
      status: 422,
      error: expect.stringMatching(/inputs must be a list of tensors; it is 7/),
    });
    expect(await sent(Buffer.from("[1]"))).toMatchObject({
      status: 422,
      error: expect.stringMatching(/must be a JSON object/),
    });
    expect(await sent(Buffer.alloc((1 << 16) + 1, " "))).toMatchObject({
      status: 413,
      error: expect.stringMatching(/over 65536 bytes/),
    });
    expect(await sent(Buffer.alloc(0))).toMatchObject({ status: 400, error: expect.stringMatching(/body is empty/) });
    expect(await sent(Buffer.from('{"inputs": [{"data": [NaN]}]}'))).toMatchObject({
      status: 400,
      error: expect.stringMatching(/token NaN.*nan_to_num/),
    });
  });

  it("a fault of the engine, with the status that it has on /v1", async () => {
    for (const [code, status] of [
      ["PURSUIT_NOT_FINITE", 422],
      ["PURSUIT_QUEUE_FULL", 429],
      ["PURSUIT_RUNTIME_CRASHED", 500],
      ["PURSUIT_DICTIONARY_FAILED", 503],
      ["PURSUIT_TIMEOUT", 504],
    ] as const) {
      test.engine.failure = new EngineError(code, "Row 3 is odd.", { retryAfter: 2.5 });
      const answer = send([JSON_ROWS]);
      expect(await refusal(answer)).toEqual({ status, error: "Row 3 is odd." });
      expect((await answer).headers["retry-after"]).toBe("3");
    }
    test.engine.failure = new TypeError("secret");
    const answer = send([JSON_ROWS], {}, { "x-request-id": "find-me" });
    expect(await refusal(answer)).toEqual({ status: 500, error: expect.not.stringContaining("secret") });
    expect((await answer).headers["x-request-id"]).toBe("find-me");
    expect(test.logged).toContainEqual(expect.objectContaining({ request_id: "find-me" }));
  });

  it("a request that a full queue would refuse, before its body is read", async () => {
    test.engine.full = new EngineError("PURSUIT_QUEUE_FULL", "It is full.", { retryAfter: 0.25 });
    const answer = post(Buffer.from("not read"));
    expect(await refusal(answer)).toEqual({ status: 429, error: "It is full." });
    expect((await answer).headers).toMatchObject({ "retry-after": "1", "retry-after-ms": "250" });
    test.engine.full = null;
  });

  it("a dictionary that is not there, or broken, before its body is read", async () => {
    const { payload } = v2Body([JSON_ROWS]);
    expect((await refusal(post(payload, {}, "/v2/models/none/infer"))).status).toBe(404);
    expect(await refusal(post(payload, {}, "/v2/models/broken/infer"))).toEqual({
      status: 503,
      error: "Dictionary broken could not be loaded: atoms: one is zero. center is missing.",
    });
  });

  it("an answer over the limit, before it is encoded where that is certain", async () => {
    const small = await testApp({ maxAnswer: 700 });
    const ask = (count: number, outputs: object[]) => {
      const rows = { ...JSON_ROWS, shape: [count, 2], data: Array.from({ length: count * 2 }, () => 1) };
      return small.app.inject({ method: "POST", url: INFER, ...v2Body([rows], { outputs }) });
    };
    const certain = await ask(100, [{ name: "reconstruction", parameters: { binary_data: true } }]);
    expect([certain.statusCode, certain.json()]).toEqual([
      413,
      { error: expect.stringMatching(/about 800 bytes; at most 700/) },
    ]);
    expect(small.engine.encodes).toHaveLength(0);
    expect((await ask(100, [{ name: "values" }])).statusCode).toBe(413);
    expect(small.engine.encodes).toHaveLength(1);
    await small.app.close();
  });
});

describe("compression", () => {
  const { payload } = v2Body([JSON_ROWS]);
  it.each([
    ["gzip", gzipSync],
    ["deflate", deflateSync],
    ["br", brotliCompressSync],
  ])("of a body by %s is undone, the header counting what it was before", async (encoding, compress) => {
    const body = v2Body([BINARY_ROWS]);
    const answer = await post(compress(body.payload), { ...body.headers, "content-encoding": encoding });
    expect(answer.status).toBe(200);
    expect([...asked().rows.data]).toEqual(ROWS);
  });

  it("of a body is undone up to the limit of a body, and no further", async () => {
    const bomb = gzipSync(Buffer.alloc(1 << 24));
    expect(bomb.length).toBeLessThan(1 << 16);
    const { status, error } = await refusal(post(bomb, { "content-encoding": "gzip" }));
    expect([status, error]).toEqual([413, expect.stringMatching(/inflate to over \d+ bytes; at most 65536 are taken/)]);
    expect(await refusal(post(payload, { "content-encoding": "gzip" }))).toMatchObject({ status: 400 });
    expect(await refusal(post(payload, { "content-encoding": "zstd" }))).toMatchObject({ status: 415 });
    expect((await post(payload, { "content-encoding": "identity" })).status).toBe(200);
  });

  it("counts what a body becomes against the bytes in flight, and gives them back", async () => {
    const tight = await testApp({ maxBytesInFlight: 1000 });
    const body = gzipSync(Buffer.concat([payload, Buffer.alloc(1000, " ")]));
    expect(body.length).toBeLessThan(500);
    for (let i = 0; i < 3; i++) {
      const answer = await tight.app.inject({
        method: "POST",
        url: INFER,
        payload: body,
        headers: { "content-encoding": "gzip" },
      });
      expect(answer.statusCode).toBe(413);
    }
    // Everything was given back: a plain body just within the limit is taken.
    const plain = Buffer.concat([payload, Buffer.alloc(900 - payload.length, " ")]);
    for (let i = 0; i < 3; i++)
      expect((await tight.app.inject({ method: "POST", url: INFER, payload: plain })).statusCode).toBe(200);
    await tight.app.close();
  });

  it.each([
    ["gzip", "gzip", gunzipSync],
    ["deflate", "deflate", inflateSync],
    ["br;q=1, deflate;q=0.5, gzip;q=0.1", "deflate", inflateSync],
  ])("of an answer is as accepted: %s", async (accept, encoding, inflate) => {
    const many = { ...JSON_ROWS, shape: [100, 2], data: Array.from({ length: 200 }, () => 1) };
    const plain = await send([many]);
    expect(plain.headers["content-encoding"]).toBeUndefined();
    const answer = await send([many], {}, { "accept-encoding": accept });
    expect(answer.headers).toMatchObject({ "content-encoding": encoding, vary: "accept-encoding" });
    expect(inflate(answer.bytes)).toEqual(plain.bytes);
    const short = await send([JSON_ROWS], {}, { "accept-encoding": accept });
    expect(short.headers["content-encoding"]).toBeUndefined();
  });
});

describe("an answer where compression is off", () => {
  it("goes out as it is", async () => {
    const off = await testApp({ compressFrom: 0 });
    const many = { ...JSON_ROWS, shape: [100, 2], data: Array.from({ length: 200 }, () => 1) };
    const { payload, headers } = v2Body([many]);
    const asking = { ...headers, "accept-encoding": "gzip" };
    const answer = await off.app.inject({ method: "POST", url: INFER, payload, headers: asking });
    expect([answer.statusCode, answer.headers["content-encoding"]]).toEqual([200, undefined]);
    await off.app.close();
  });
});

describe("what is reported", () => {
  it("names the route, and the stages", async () => {
    const seen = await testApp();
    await seen.app.inject({ method: "POST", url: INFER, ...v2Body([JSON_ROWS]) });
    await seen.app.inject("/v2/models/none/ready");
    expect(seen.requests.map(({ route, status }) => [route, status])).toEqual([
      ["/v2/models/{model}/infer", 200],
      ["/v2/models/{model}/ready", 404],
    ]);
    expect(seen.stages).toEqual(["decode", "queue", "encode", "write"]);
    await seen.app.close();
  });
});
