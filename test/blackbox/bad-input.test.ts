/** Bad input over the socket: the answer has the right status, code, field and row, and the server goes on. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { writeModelFolder } from "../support/model-folder.ts";
import { openSocket, readAnswer } from "../support/raw-http.ts";
import { type RunningServer, startServer } from "../support/running-server.ts";
import { randomAtoms } from "../support/seeded.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

const D = 4;
const MAX_ROWS = 8;
const MAX_BODY = 16_384;
const models = temporaryFolder();
let server: RunningServer;

beforeAll(async () => {
  writeModelFolder(models, "small", { atoms: randomAtoms(6, D, 1), d: D, settings: { maxAtoms: 5 } });
  writeModelFolder(models, "normed", { atoms: randomAtoms(6, D, 2), d: D, settings: { inputNorm: "layer_norm" } });
  server = await startServer(models, temporaryFolder(), {
    PURSUIT_MAX_ROWS: String(MAX_ROWS),
    PURSUIT_MAX_BODY: String(MAX_BODY),
    PURSUIT_STALL_MS: "200",
  });
});
afterAll(async () => {
  expect(await server.stop()).toBe(0);
});

const ENCODE = "/v1/dictionaries/small/encode";
const JSON_TYPE = { "content-type": "application/json" };
const row = (value: unknown = 1): unknown[] => [1, 2, 3, value];
const base64 = (bytes: number): string => Buffer.alloc(bytes, 1).toString("base64");

interface Sent {
  readonly path?: string;
  readonly body: string | object;
  readonly headers?: Record<string, string>;
}

async function post({
  path = ENCODE,
  body,
  headers = {},
}: Sent): Promise<{ status: number; headers: Headers; problem: Record<string, unknown> }> {
  const answer = await fetch(server.base + path, {
    method: "POST",
    headers: { ...JSON_TYPE, ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
  return { status: answer.status, headers: answer.headers, problem: (await answer.json()) as Record<string, unknown> };
}

/** After each fault the server must answer a good request, and rightly. */
afterEach(async () => {
  const { status, problem } = await post({ body: { inputs: [[0, 0, 0, 0]] } });
  expect({ status, codes: problem["codes"] }).toEqual({
    status: 200,
    codes: [{ indices: [], values: [], atoms: 0, steps: 0, residual_norm: 0, relative_error: 0, stop: "no_gain" }],
  });
});

const FAULTS: readonly (readonly [what: string, sent: Sent, status: number, code: string, detail: RegExp])[] = [
  ["not JSON", { body: "{inputs: 1}" }, 400, "PURSUIT_MALFORMED_BODY", /not JSON/],
  ["an empty body", { body: "" }, 400, "PURSUIT_MALFORMED_BODY", /empty/],
  ["bytes that are no UTF-8", { body: "\u0000" }, 400, "PURSUIT_MALFORMED_BODY", /not JSON/],
  ["a NaN token", { body: '{"inputs": [[1, 2, NaN, 4]]}' }, 400, "PURSUIT_NAN_TOKEN", /token NaN.*nan_to_num/],
  ["an Infinity token", { body: '{"inputs": [[1, 2, -Infinity, 4]]}' }, 400, "PURSUIT_NAN_TOKEN", /token -Infinity/],
  ["cut JSON", { body: '{"inputs": [[1, 2' }, 400, "PURSUIT_MALFORMED_BODY", /ends in the middle/],
  ["a list instead of an object", { body: [] }, 422, "PURSUIT_INVALID_FIELD", /must be a JSON object; it is a list/],
  ["no inputs", { body: {} }, 422, "PURSUIT_INVALID_FIELD", /^inputs .*missing/],
  ["null inputs", { body: { inputs: null } }, 422, "PURSUIT_INVALID_FIELD", /^inputs .*null/],
  ["a null row", { body: { inputs: [row(), null] } }, 422, "PURSUIT_INVALID_FIELD", /^inputs\[1\] .*null/],
  ["a null number", { body: { inputs: [row(), row(null)] } }, 422, "PURSUIT_INVALID_FIELD", /^inputs\[1\]\[3\] .*null/],
  ["a number in quotes", { body: { inputs: [row("4")] } }, 422, "PURSUIT_INVALID_FIELD", /^inputs\[0\]\[3\] .*"4"/],
  ["a bare row", { body: { inputs: row() } }, 422, "PURSUIT_INVALID_FIELD", /write \[\[…\]\]/],
  ["too deep", { body: { inputs: [[[[[1]]]]] } }, 422, "PURSUIT_TOO_DEEP", /deeper than 4/],
  ["brackets without end", { body: "[".repeat(MAX_BODY) }, 422, "PURSUIT_TOO_DEEP", /deeper than 4/],
  ["no rows", { body: { inputs: [] } }, 422, "PURSUIT_INVALID_FIELD", /^inputs holds no rows/],
  [
    "too many rows",
    { body: { inputs: Array.from({ length: 9 }, () => row()) } },
    413,
    "PURSUIT_TOO_MANY_ROWS",
    /holds 9 rows; at most 8/,
  ],
  ["too narrow", { body: { inputs: [[1, 2, 3]] } }, 422, "PURSUIT_WRONG_WIDTH", /3 wide.*rows of 4/],
  [
    "rows of two widths",
    { body: { inputs: [row(), [1]] } },
    422,
    "PURSUIT_WRONG_WIDTH",
    /^inputs\[1\] holds 1 numbers/,
  ],
  ["a number beyond float32", { body: { inputs: [row(), row(1e39)] } }, 422, "PURSUIT_NOT_FINITE", /Row 1, column 3/],
  ["an unknown field", { body: { inputs: [row()], bugdet: {} } }, 422, "PURSUIT_INVALID_FIELD", /no field bugdet/],
  [
    "an unknown budget",
    { body: { inputs: [row()], budget: { k: 3 } } },
    422,
    "PURSUIT_INVALID_FIELD",
    /no field budget\.k/,
  ],
  [
    "a negative budget",
    { body: { inputs: [row()], budget: { max_atoms: -1 } } },
    422,
    "PURSUIT_BUDGET_OUT_OF_RANGE",
    /^budget\.max_atoms/,
  ],
  [
    "a fractional budget",
    { body: { inputs: [row()], budget: { max_atoms: 1.5 } } },
    422,
    "PURSUIT_BUDGET_OUT_OF_RANGE",
    /^budget\.max_atoms/,
  ],
  [
    "a budget over the cap",
    { body: { inputs: [row()], budget: { max_atoms: 6 } } },
    422,
    "PURSUIT_BUDGET_OUT_OF_RANGE",
    /^budget\.max_atoms is 6.*0 to 5/,
  ],
  [
    "a budget in quotes",
    { body: { inputs: [row()], budget: { max_atoms: "3" } } },
    422,
    "PURSUIT_BUDGET_OUT_OF_RANGE",
    /^budget\.max_atoms/,
  ],
  [
    "a negative tolerance",
    { body: { inputs: [row()], budget: { tolerance: -0.1 } } },
    422,
    "PURSUIT_BUDGET_OUT_OF_RANGE",
    /^budget\.tolerance/,
  ],
  [
    "one row's budget out of range",
    { body: { inputs: [row(), row()], budget: [{}, { max_atoms: 99 }] } },
    422,
    "PURSUIT_BUDGET_OUT_OF_RANGE",
    /^budget\[1\]\.max_atoms is 99/,
  ],
  [
    "budgets for other rows",
    { body: { inputs: [row()], budget: [{}, {}] } },
    422,
    "PURSUIT_BUDGET_OUT_OF_RANGE",
    /2 entries for 1 rows/,
  ],
  [
    "an unknown format",
    { body: { inputs: [row()], format: "coo" } },
    422,
    "PURSUIT_INVALID_FIELD",
    /^format .*sparse, csr, dense, map/,
  ],
  [
    "an unknown include",
    { body: { inputs: [row()], include: ["everything"] } },
    422,
    "PURSUIT_INVALID_FIELD",
    /^include\[0\]/,
  ],
  ["a timeout of nothing", { body: { inputs: [row()], timeout_ms: 0 } }, 422, "PURSUIT_INVALID_FIELD", /^timeout_ms/],
  [
    "base64 of float64 said to be float32",
    { body: { inputs: { data: base64(32), dtype: "float32", shape: [1, 4] } } },
    400,
    "PURSUIT_WRONG_LENGTH",
    /32 bytes.*takes 16.*float64\?/,
  ],
  [
    "base64 cut short",
    { body: { inputs: { data: base64(15), dtype: "float32", shape: [1, 4] } } },
    400,
    "PURSUIT_WRONG_LENGTH",
    /15 bytes.*takes 16/,
  ],
  [
    "base64 of NaN",
    { body: { inputs: { data: Buffer.alloc(16, 255).toString("base64"), dtype: "float32", shape: [1, 4] } } },
    422,
    "PURSUIT_NOT_FINITE",
    /Row 0, column 0 is NaN/,
  ],
  [
    "an unknown dtype",
    { body: { inputs: { data: base64(4), dtype: "int8", shape: [1, 4] } } },
    422,
    "PURSUIT_INVALID_FIELD",
    /^inputs\.dtype .*float32, float64/,
  ],
  [
    "a shape of no rows",
    { body: { inputs: { data: "", dtype: "float32", shape: [0, 4] } } },
    422,
    "PURSUIT_INVALID_FIELD",
    /no rows/,
  ],
  [
    "a shape larger than the world",
    { body: { inputs: { data: "", dtype: "float32", shape: [2 ** 31, 2 ** 31, 4] } } },
    422,
    "PURSUIT_INVALID_FIELD",
    /larger than any body/,
  ],
  [
    "an unknown dictionary",
    { path: "/v1/dictionaries/none/encode", body: {} },
    404,
    "PURSUIT_DICTIONARY_NOT_FOUND",
    /no dictionary none/,
  ],
  [
    "a path out of the models folder",
    { path: "/v1/dictionaries/..%2f..%2fetc/encode", body: {} },
    404,
    "PURSUIT_DICTIONARY_NOT_FOUND",
    /no dictionary/,
  ],
  [
    "a null byte in the id",
    { path: "/v1/dictionaries/small%00/encode", body: {} },
    404,
    "PURSUIT_DICTIONARY_NOT_FOUND",
    /no dictionary/,
  ],
  [
    "an id of two hundred letters",
    { path: `/v1/dictionaries/${"a".repeat(200)}/encode`, body: {} },
    404,
    "PURSUIT_DICTIONARY_NOT_FOUND",
    /no dictionary/,
  ],
  ["a broken escape in the path", { path: "/v1/dictionaries/%zz/encode", body: {} }, 400, "PURSUIT_BAD_REQUEST", /./],
  [
    "a route that is none",
    { path: "/v1/dictionary/small/encode", body: {} },
    404,
    "PURSUIT_ROUTE_NOT_FOUND",
    /no POST \/v1\/dictionary/,
  ],
  [
    "another content type",
    { body: "1,2,3,4", headers: { "content-type": "text/csv" } },
    415,
    "PURSUIT_UNSUPPORTED_MEDIA_TYPE",
    /application\/json/,
  ],
  [
    "a body that is not compressed as it says",
    { body: { inputs: [row()] }, headers: { "content-encoding": "gzip" } },
    400,
    "PURSUIT_MALFORMED_BODY",
    /content-encoding/,
  ],
  [
    "an answer nobody can write",
    { body: { inputs: [row()] }, headers: { accept: "text/html" } },
    406,
    "PURSUIT_NOT_ACCEPTABLE",
    /text\/html/,
  ],
  [
    "codes of a foreign feature",
    { path: "/v1/dictionaries/small/decode", body: { codes: [{ indices: [6], values: [1] }] } },
    422,
    "PURSUIT_INVALID_CODE",
    /row 0 names feature 6.*0 to 5/,
  ],
  [
    "codes that name a feature twice",
    { path: "/v1/dictionaries/small/decode", body: { codes: [{ indices: [1, 1], values: [1, 2] }] } },
    422,
    "PURSUIT_INVALID_CODE",
    /feature 1 twice/,
  ],
  [
    "codes of two lengths",
    { path: "/v1/dictionaries/small/decode", body: { codes: [{ indices: [1], values: [] }] } },
    422,
    "PURSUIT_INVALID_CODE",
    /1 indices and 0 values/,
  ],
  [
    "codes without the norm that they need",
    { path: "/v1/dictionaries/normed/decode", body: { codes: [{ indices: [1], values: [1] }] } },
    422,
    "PURSUIT_INVALID_CODE",
    /"norm"/,
  ],
];

describe("a request with", () => {
  it.each(FAULTS)("%s", async (_what, sent, status, code, detail) => {
    const { headers, problem, ...answer } = await post(sent);
    expect(answer.status).toBe(status);
    expect(headers.get("content-type")).toBe("application/problem+json");
    expect(problem).toMatchObject({
      status,
      code,
      detail: expect.stringMatching(detail),
      request_id: headers.get("x-request-id"),
    });
  });

  it("a feature that is none", async () => {
    for (const index of ["6", "-1", "x", "1e0", "99999999999"]) {
      const answer = await fetch(`${server.base}/v1/dictionaries/small/features/${index}`);
      expect({ index, status: answer.status, problem: await answer.json() }).toMatchObject({
        index,
        status: 404,
        problem: { code: "PURSUIT_FEATURE_NOT_FOUND" },
      });
    }
  });
});

const head = (...lines: string[]): string =>
  [`POST ${ENCODE} HTTP/1.1`, "host: x", "content-type: application/json", ...lines, "", ""].join("\r\n");
const problemOf = (body: string): Record<string, unknown> => JSON.parse(body) as Record<string, unknown>;

describe("a socket that", () => {
  it("sends a body over the limit, all of it before it reads, reads why", async () => {
    const socket = await openSocket(server.port);
    const bytes = 4 << 20;
    socket.write(head(`content-length: ${bytes}`));
    for (let sent = 0; sent < bytes; sent += 65_536) socket.write(Buffer.alloc(65_536, " "));
    const answer = await readAnswer(socket);
    expect(answer.status).toBe(413);
    expect(problemOf(answer.body)).toMatchObject({
      code: "PURSUIT_BODY_TOO_LARGE",
      detail: expect.stringContaining(String(MAX_BODY)),
    });
  });

  it("sends a chunked body over the limit reads why", async () => {
    const socket = await openSocket(server.port);
    socket.write(head("transfer-encoding: chunked"));
    for (let i = 0; i < 5; i++) socket.write(`1000\r\n${" ".repeat(0x1000)}\r\n`);
    socket.write("0\r\n\r\n");
    expect(problemOf((await readAnswer(socket)).body)).toMatchObject({ status: 413, code: "PURSUIT_BODY_TOO_LARGE" });
  });

  it("sends half a body and then nothing is told so", async () => {
    const socket = await openSocket(server.port);
    socket.write(`${head("content-length: 100")}{"inputs":`);
    const answer = await readAnswer(socket);
    expect(problemOf(answer.body)).toMatchObject({
      status: 408,
      code: "PURSUIT_BODY_STALLED",
      detail: expect.stringContaining("200 ms"),
    });
    expect(answer.headers["connection"]).toBe("close");
  });

  it("hangs up in the middle of a body does no harm", async () => {
    const socket = await openSocket(server.port);
    await new Promise<void>((sent) => socket.write(`${head("content-length: 100")}{"inputs":`, () => sent()));
    socket.resetAndDestroy();
  });

  it("does not speak HTTP is told so as a problem", async () => {
    const socket = await openSocket(server.port);
    socket.write("GARBAGE\r\n\r\n");
    const answer = await readAnswer(socket);
    expect(answer.status).toBe(400);
    expect(answer.headers["content-type"]).toBe("application/problem+json");
    expect(problemOf(answer.body)).toMatchObject({ code: "PURSUIT_BAD_REQUEST" });
  });

  it("sends a good request behind a bad one gets both answers", async () => {
    const socket = await openSocket(server.port);
    const bad = "{";
    const good = JSON.stringify({ inputs: [[0, 0, 0, 0]] });
    socket.write(
      head(`content-length: ${bad.length}`) + bad + head(`content-length: ${good.length}`, "connection: close") + good,
    );
    let text = "";
    for await (const chunk of socket as AsyncIterable<Buffer>) text += chunk.toString();
    expect(text.match(/HTTP\/1\.1 \d+/g)).toEqual(["HTTP/1.1 400", "HTTP/1.1 200"]);
  });
});
