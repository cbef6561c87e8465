/** Status codes of docs/errors.md, as far as no socket is needed: every error is a problem of the same form. */
import type { InjectOptions } from "fastify";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { ENGINE_ERROR_CODES, EngineError } from "../../src/engine/core/errors.ts";
import { PROBLEMS } from "../../src/routes/problem.ts";
import { type TestApp, testApp } from "../support/test-app.ts";

const ENCODE = "/v1/dictionaries/small/encode";
const DECODE = "/v1/dictionaries/small/decode";
const ROWS = { inputs: [[1, 2]] };
let test: TestApp;

beforeAll(async () => {
  test = await testApp();
});
afterAll(() => test.app.close());
afterEach(() => {
  test.engine.failure = null;
  test.engine.ready = { ready: true };
});

const post = (payload: object | string, url = ENCODE, headers: Record<string, string> = {}) =>
  test.app.inject({ method: "POST", url, payload, headers: { "content-type": "application/json", ...headers } });

async function problemOf(
  request: InjectOptions,
): Promise<{ headers: Record<string, unknown>; body: Record<string, unknown> }> {
  const answer = await test.app.inject(request);
  const body = answer.json<Record<string, unknown>>();
  expect(answer.headers["content-type"]).toBe("application/problem+json");
  expect(Object.keys(body)).toEqual(["type", "title", "status", "code", "detail", "request_id"]);
  expect(body["status"]).toBe(answer.statusCode);
  expect(body["request_id"]).toBe(answer.headers["x-request-id"]);
  return { headers: answer.headers, body };
}
const posted = (payload: object | string, url = ENCODE, headers: Record<string, string> = {}): InjectOptions => ({
  method: "POST",
  url,
  payload,
  headers: { "content-type": "application/json", ...headers },
});

/** Expected status of each engine error. 499: the client has left, nobody reads the answer. */
const STATUSES: Readonly<Record<(typeof ENGINE_ERROR_CODES)[number], number>> = {
  PURSUIT_DICTIONARY_NOT_FOUND: 404,
  PURSUIT_DICTIONARY_FAILED: 503,
  PURSUIT_MEMORY_FULL: 507,
  PURSUIT_BEING_REPLACED: 409,
  PURSUIT_FEATURE_NOT_FOUND: 404,
  PURSUIT_NO_LABELS: 404,
  PURSUIT_NO_STATISTICS: 404,
  PURSUIT_NO_EXAMPLES: 404,
  PURSUIT_WRONG_WIDTH: 422,
  PURSUIT_NOT_FINITE: 422,
  PURSUIT_BUDGET_OUT_OF_RANGE: 422,
  PURSUIT_ROLE_MISMATCH: 422,
  PURSUIT_ENCODER_UNAVAILABLE: 422,
  PURSUIT_NOT_TRANSFERABLE: 422,
  PURSUIT_INVALID_CODE: 422,
  PURSUIT_INVALID_EDIT: 422,
  PURSUIT_STEERING_SET_NOT_FOUND: 404,
  PURSUIT_STEERING_SET_STALE: 409,
  PURSUIT_PRECONDITION_FAILED: 412,
  PURSUIT_STATE_FAILED: 500,
  PURSUIT_STATE_UNAVAILABLE: 503,
  PURSUIT_LABEL_NOT_FOUND: 404,
  PURSUIT_ANSWER_TOO_LARGE: 413,
  PURSUIT_QUEUE_FULL: 429,
  PURSUIT_NOT_READY: 503,
  PURSUIT_DRAINING: 503,
  PURSUIT_TIMEOUT: 504,
  PURSUIT_STATE_FULL: 507,
  PURSUIT_STATE_DISK_FULL: 507,
  PURSUIT_CLIENT_CLOSED: 499,
  PURSUIT_RUNTIME_CRASHED: 500,
  PURSUIT_INTERNAL: 500,
};

describe("a fault of the engine", () => {
  it.each(ENGINE_ERROR_CODES)("%s is answered with its status, in every operation", async (code) => {
    test.engine.failure = new EngineError(code, "Row 3 is odd.");
    const requests: InjectOptions[] = [
      posted(ROWS),
      posted({ codes: [{ indices: [0], values: [1] }] }, DECODE),
      { method: "GET", url: "/v1/dictionaries/small/features/0" },
    ];
    for (const request of requests) {
      const { headers, body } = await problemOf(request);
      expect(body).toMatchObject({
        status: STATUSES[code],
        code,
        title: PROBLEMS[code].title,
        detail: "Row 3 is odd.",
        type: `urn:pursuit:problem:${code.slice(8).toLowerCase()}`,
      });
      expect(headers["retry-after"]).toBeUndefined();
    }
  });

  it.each([
    [0.2, "1", "200"],
    [3, "3", "3000"],
    [7.0999, "8", "7100"],
    [0, "1", "1"],
  ])("that passes in %d seconds says retry-after: %s, and in milliseconds %s", async (retryAfter, header, finer) => {
    test.engine.failure = new EngineError("PURSUIT_QUEUE_FULL", "Later.", { retryAfter });
    const { headers } = await problemOf(posted(ROWS));
    expect([headers["retry-after"], headers["retry-after-ms"]]).toEqual([header, finer]);
  });

  it("that nobody foresaw tells nothing of itself but where to look, and is logged whole", async () => {
    test.engine.failure = new TypeError("secret path /hidden/x");
    const { body } = await problemOf(posted(ROWS, ENCODE, { "x-request-id": "find-me" }));
    expect(body).toMatchObject({ status: 500, code: "PURSUIT_INTERNAL", request_id: "find-me" });
    expect(JSON.stringify(body)).not.toContain("secret");
    expect(test.logged).toContainEqual(
      expect.objectContaining({
        request_id: "find-me",
        err: expect.objectContaining({ message: "secret path /hidden/x" }),
      }),
    );
  });
});

describe("a request id", () => {
  it("is the client's where it is one, and ours where it is not", async () => {
    const idOf = async (given: string): Promise<unknown> =>
      (await test.app.inject({ url: "/nowhere", headers: { "x-request-id": given } })).headers["x-request-id"];
    expect(await idOf("trace-1.a:b")).toBe("trace-1.a:b");
    for (const odd of ["", "a b", "a\tb", "x".repeat(129)]) expect(await idOf(odd)).toMatch(/^[\da-f-]{36}$/);
  });

  it("comes with good answers too, and goes to the engine", async () => {
    const answer = await post(ROWS, ENCODE, { "x-request-id": "abc", traceparent: "00-1-2-01" });
    expect(answer.headers["x-request-id"]).toBe("abc");
    expect(test.engine.encodes.at(-1)!.context).toMatchObject({
      span: { requestId: "abc", traceparent: "00-1-2-01" },
    });
  });
});

describe("a request", () => {
  it.each<[string, InjectOptions, number, string, RegExp]>([
    ["to a route that is none", { url: "/v1/nothing" }, 404, "PURSUIT_ROUTE_NOT_FOUND", /no GET \/v1\/nothing;/],
    [
      "to a route that is none, its query unread",
      { url: "/nothing?secret=1" },
      404,
      "PURSUIT_ROUTE_NOT_FOUND",
      /no GET \/nothing;/,
    ],
    [
      "with a method that the route has not",
      { method: "PUT", url: ENCODE },
      405,
      "PURSUIT_METHOD_NOT_ALLOWED",
      /no PUT .*takes POST/,
    ],
    [
      "of lines with a method that the route has not",
      { method: "PUT", url: ENCODE, payload: "[1,2]\n", headers: { "content-type": "application/x-ndjson" } },
      405,
      "PURSUIT_METHOD_NOT_ALLOWED",
      /no PUT/,
    ],
    ["of JSON to a route that is none", posted("{", "/v1/nothing"), 404, "PURSUIT_ROUTE_NOT_FOUND", /no POST/],
    [
      "of text to a route that is none",
      posted("x", "/v1/nothing", { "content-type": "text/plain" }),
      404,
      "PURSUIT_ROUTE_NOT_FOUND",
      /no POST/,
    ],
    [
      "to a dictionary that is none",
      posted(ROWS, "/v1/dictionaries/none/encode"),
      404,
      "PURSUIT_DICTIONARY_NOT_FOUND",
      /none/,
    ],
    [
      "to a dictionary that is none, before its body is read",
      posted("{", "/v1/dictionaries/none/encode"),
      404,
      "PURSUIT_DICTIONARY_NOT_FOUND",
      /none/,
    ],
    ["for a dictionary that is none", { url: "/v1/dictionaries/none" }, 404, "PURSUIT_DICTIONARY_NOT_FOUND", /none/],
    ["with an id longer than any", { url: `/v1/dictionaries/${"a".repeat(300)}` }, 404, "PURSUIT_ROUTE_NOT_FOUND", /./],
    ["with a broken escape", { url: "/v1/dictionaries/%zz" }, 400, "PURSUIT_BAD_REQUEST", /./],
    [
      "for a feature that is no number",
      { url: "/v1/dictionaries/small/features/last" },
      404,
      "PURSUIT_FEATURE_NOT_FOUND",
      /"last" is not the number of a feature/,
    ],
    [
      "for a feature of a dictionary that is none",
      { url: "/v1/dictionaries/none/features/x" },
      404,
      "PURSUIT_DICTIONARY_NOT_FOUND",
      /none/,
    ],
    [
      "that accepts what nobody writes",
      posted(ROWS, ENCODE, { accept: "text/html" }),
      406,
      "PURSUIT_NOT_ACCEPTABLE",
      /accepts text\/html/,
    ],
    [
      "of text",
      posted("1 2", ENCODE, { "content-type": "text/plain" }),
      415,
      "PURSUIT_UNSUPPORTED_MEDIA_TYPE",
      /application\/json/,
    ],
    [
      "without a content type",
      { method: "POST", url: ENCODE, payload: "{}" },
      415,
      "PURSUIT_UNSUPPORTED_MEDIA_TYPE",
      /application\/json/,
    ],
    [
      "with a content type that is none",
      posted("{}", ENCODE, { "content-type": "json" }),
      415,
      "PURSUIT_UNSUPPORTED_MEDIA_TYPE",
      /application\/json/,
    ],
    [
      "that is compressed in a way that nobody knows",
      posted("{}", ENCODE, { "content-encoding": "zstd" }),
      415,
      "PURSUIT_UNSUPPORTED_MEDIA_TYPE",
      /content-encoding/,
    ],
    [
      "that is not compressed as it says",
      posted("{}", ENCODE, { "content-encoding": "gzip" }),
      400,
      "PURSUIT_MALFORMED_BODY",
      /content-encoding/,
    ],
    ["without a body", { method: "POST", url: ENCODE }, 400, "PURSUIT_MALFORMED_BODY", /empty/],
    ["that is not JSON", posted("{inputs: 1}"), 400, "PURSUIT_MALFORMED_BODY", /not JSON/],
    ["with a NaN token", posted('{"inputs": [[NaN, 1]]}'), 400, "PURSUIT_NAN_TOKEN", /token NaN/],
    [
      "with base64 of another length",
      posted({ inputs: { data: "AAAA", dtype: "float32", shape: [1, 2] } }),
      400,
      "PURSUIT_WRONG_LENGTH",
      /3 bytes.* takes 8/,
    ],
    ["that nests too deeply", posted({ inputs: [[[[1]]]] }), 422, "PURSUIT_TOO_DEEP", /deeper than 4/],
    ["with a string for a number", posted({ inputs: [["1", 2]] }), 422, "PURSUIT_INVALID_FIELD", /^inputs\[0\]\[0\]/],
    ["with rows of two widths", posted({ inputs: [[1, 2], [1]] }), 422, "PURSUIT_WRONG_WIDTH", /^inputs\[1\]/],
    ["with an unknown field", posted({ ...ROWS, colour: "red" }), 422, "PURSUIT_INVALID_FIELD", /no field colour/],
    ["with two faults, telling the first", posted({ ...ROWS, a: 1, b: 2 }), 422, "PURSUIT_INVALID_FIELD", /no field a/],
    [
      "with a misspelt budget",
      posted({ ...ROWS, budget: { maxAtoms: 3 } }),
      422,
      "PURSUIT_INVALID_FIELD",
      /no field budget\.maxAtoms/,
    ],
    [
      "with a misspelt budget of a row",
      posted({ ...ROWS, budget: [{ k: 3 }] }),
      422,
      "PURSUIT_INVALID_FIELD",
      /no field budget\[0\]\.k/,
    ],
    [
      "with a negative budget",
      posted({ ...ROWS, budget: { max_atoms: -1 } }),
      422,
      "PURSUIT_BUDGET_OUT_OF_RANGE",
      /^budget\.max_atoms must be >= 0/,
    ],
    [
      "with a fractional budget",
      posted({ ...ROWS, budget: { max_atoms: 0.5 } }),
      422,
      "PURSUIT_BUDGET_OUT_OF_RANGE",
      /^budget\.max_atoms must be integer/,
    ],
    [
      "with a budget in quotes",
      posted({ ...ROWS, budget: { max_atoms: "3" } }),
      422,
      "PURSUIT_BUDGET_OUT_OF_RANGE",
      /^budget\.max_atoms must be integer/,
    ],
    [
      "with a budget of null",
      posted({ ...ROWS, budget: { max_atoms: null } }),
      422,
      "PURSUIT_BUDGET_OUT_OF_RANGE",
      /^budget\.max_atoms must be integer/,
    ],
    [
      "with a number for a budget",
      posted({ ...ROWS, budget: 32 }),
      422,
      "PURSUIT_BUDGET_OUT_OF_RANGE",
      /^budget must be/,
    ],
    [
      "with a negative budget of one row",
      posted({ ...ROWS, budget: [{}, { min_gain: -1 }] }),
      422,
      "PURSUIT_BUDGET_OUT_OF_RANGE",
      /^budget\[1\]\.min_gain must be >= 0/,
    ],
    [
      "with a negative residual norm",
      posted({ ...ROWS, budget: { residual_norm: -1 } }),
      422,
      "PURSUIT_BUDGET_OUT_OF_RANGE",
      /^budget\.residual_norm must be >= 0/,
    ],
    [
      "with an unknown format",
      posted({ ...ROWS, format: "coo" }),
      422,
      "PURSUIT_INVALID_FIELD",
      /^format .*: sparse, csr, dense, map\.$/,
    ],
    [
      "that includes the unknown",
      posted({ ...ROWS, include: ["weights"] }),
      422,
      "PURSUIT_INVALID_FIELD",
      /^include\[0\] .*: trace, reconstruction/,
    ],
    [
      "that includes a thing twice",
      posted({ ...ROWS, include: ["trace", "trace"] }),
      422,
      "PURSUIT_INVALID_FIELD",
      /^include must NOT have duplicate/,
    ],
    [
      "with a timeout of nothing",
      posted({ ...ROWS, timeout_ms: 0 }),
      422,
      "PURSUIT_INVALID_FIELD",
      /^timeout_ms must be > 0/,
    ],
    [
      "with an unknown answer to overload",
      posted({ ...ROWS, on_overload: "wait" }),
      422,
      "PURSUIT_INVALID_FIELD",
      /^on_overload/,
    ],
    [
      "to decode with an unknown field",
      posted({ codes: [{ indices: [], values: [] }], format: "csr" }, DECODE),
      422,
      "PURSUIT_INVALID_FIELD",
      /no field format/,
    ],
    ["to decode rows", posted(ROWS, DECODE), 422, "PURSUIT_INVALID_FIELD", /^codes must be a list/],
    [
      "to decode a code of two lengths",
      posted({ codes: [{ indices: [1], values: [] }] }, DECODE),
      422,
      "PURSUIT_INVALID_CODE",
      /1 indices and 0 values/,
    ],
  ])("%s is refused", async (_what, request, status, code, detail) => {
    const { body } = await problemOf(request);
    expect(body).toMatchObject({ status, code, detail: expect.stringMatching(detail) });
    expect(body["detail"]).not.toContain("secret");
  });

  it("that accepts anything, or JSON among others, is answered", async () => {
    for (const accept of [
      "*/*",
      "application/*",
      "text/html, application/json;q=0.1",
      "application/json; charset=utf-8",
    ]) {
      expect((await post(ROWS, ENCODE, { accept })).statusCode, accept).toBe(200);
    }
  });

  it("may say identity, and a charset", async () => {
    const headers = { "content-type": "application/json; charset=utf-8", "content-encoding": "identity" };
    expect((await post(ROWS, ENCODE, headers)).statusCode).toBe(200);
  });
});

describe("limits", () => {
  let small: TestApp;
  beforeAll(async () => {
    small = await testApp({ maxRows: 3, maxBody: 1024, maxAnswer: 2000 });
  });
  afterAll(() => small.app.close());
  const refused = async (payload: object, url = ENCODE): Promise<object> => {
    const answer = await small.app.inject(posted(payload, url));
    return { status: answer.statusCode, ...answer.json<object>() };
  };
  const rows = (count: number) => ({ inputs: Array.from({ length: count }, () => [1, 2]) });

  it("on rows are said in numbers", async () => {
    expect((await small.app.inject(posted(rows(3)))).statusCode).toBe(200);
    const detail = "inputs holds 4 rows; at most 3 are taken at once. Send them in parts.";
    expect(await refused(rows(4))).toMatchObject({ status: 413, code: "PURSUIT_TOO_MANY_ROWS", detail });
  });

  it("on a body are said in numbers", async () => {
    const detail = expect.stringContaining("over 1024 bytes");
    const body = { ...rows(1), padding: "x".repeat(1024) };
    expect(await refused(body)).toMatchObject({ status: 413, code: "PURSUIT_BODY_TOO_LARGE", detail });
  });

  it("on an answer are said in numbers: beforehand where it is certain, afterwards where it is not", async () => {
    const wide = await testApp({ maxAnswer: 20 });
    const before = await wide.app.inject(posted({ ...rows(3), format: "dense" }));
    expect(before.json()).toMatchObject({
      status: 413,
      code: "PURSUIT_ANSWER_TOO_LARGE",
      detail: expect.stringMatching(/about 24 bytes; at most 20 are sent/),
    });
    expect(wide.engine.encodes).toEqual([]);
    expect((await wide.app.inject(posted(rows(1)))).statusCode).toBe(413);
    expect(wide.engine.encodes).toHaveLength(1);
    await wide.app.close();
    const codes = { codes: Array.from({ length: 3 }, () => ({ indices: [0], values: [1] })) };
    expect((await small.app.inject(posted(codes, DECODE))).statusCode).toBe(200);
  });

  it("of bytes in flight are given back with the answer", async () => {
    const tight = await testApp({ maxBytesInFlight: 64 });
    const body = JSON.stringify(ROWS);
    for (let i = 0; i < 5; i++) expect((await tight.app.inject(posted(body))).statusCode).toBe(200);
    for (let i = 0; i < 5; i++) expect((await tight.app.inject(posted("{"))).statusCode).toBe(400);
    // What all the room could not hold is refused for good.
    const answer = await tight.app.inject(posted(`${body}${" ".repeat(64)}`));
    expect(answer.json()).toMatchObject({ status: 413, code: "PURSUIT_BODY_TOO_LARGE" });
    expect((await tight.app.inject(posted(body))).statusCode).toBe(200);
    await tight.app.close();
  });
});

describe("health", () => {
  it("is live whatever the engine says, and ready when it is", async () => {
    expect((await test.app.inject("/health/live")).json()).toEqual({ status: "live" });
    expect((await test.app.inject("/health/ready")).json()).toEqual({ status: "ready" });
    test.engine.ready = { ready: false, reason: "The server is draining." };
    const answer = await test.app.inject("/health/ready");
    expect([answer.statusCode, answer.headers["retry-after"]]).toEqual([503, "1"]);
    expect(answer.json()).toEqual({ status: "not ready", reason: "The server is draining." });
    const missing = [{ id: "two", state: "failed", faults: ["center is missing."] } as const];
    test.engine.ready = { ready: true, missing };
    expect((await test.app.inject("/health/ready")).json()).toEqual({ status: "ready", dictionaries: missing });
    expect((await test.app.inject("/health/live")).statusCode).toBe(200);
  });
});

describe("what the routes report", () => {
  it("names the route and never the path", async () => {
    const seen = await testApp();
    await seen.app.inject(posted(ROWS));
    await seen.app.inject("/v1/dictionaries/none");
    await seen.app.inject("/made/up/by/a/client");
    expect(seen.requests.map(({ route, status }) => [route, status])).toEqual([
      ["/v1/dictionaries/{id}/encode", 200],
      ["/v1/dictionaries/{id}", 404],
      ["unmatched", 404],
    ]);
    expect(seen.requests.every(({ seconds }) => seconds >= 0 && seconds < 60)).toBe(true);
    expect(seen.stages).toEqual(["decode", "queue", "encode", "write"]);
    await seen.app.close();
  });
});
