/** Lines in and out over a fake engine: what is answered in place of what, and how a stream ends. */
import { once } from "node:events";
import { type IncomingMessage, request as open } from "node:http";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { EncodeAnswer, EncodeRequest, RequestContext } from "../../src/engine/engine.ts";
import { EngineError, type EngineErrorCode } from "../../src/engine/core/errors.ts";
import { FakeEngine } from "../support/fake-engine.ts";
import { type TestApp, testApp } from "../support/test-app.ts";

/** Fails at rows that begin with 13, however they come, and at whole calls as it is told. */
class OddEngine extends FakeEngine {
  odd: EngineErrorCode = "PURSUIT_BUDGET_OUT_OF_RANGE";
  /** Fails at calls from this one on; counted from 1. */
  failFrom = Infinity;
  /** Replaced by another version before this one. */
  replacedAt = Infinity;
  /** And no more from this one on. */
  recoverAt = Infinity;
  failWith: Error = new EngineError("PURSUIT_DICTIONARY_FAILED", "It is gone.");

  override async encode(id: string, request: EncodeRequest, context: RequestContext): Promise<EncodeAnswer> {
    const call = this.encodes.length + 1;
    if (call >= this.replacedAt) this.sha256 = "cd".repeat(32);
    const answer = await super.encode(id, request, context);
    if (call >= this.failFrom && call < this.recoverAt) throw this.failWith;
    const { rows } = request;
    for (let i = 0; i < rows.count; i++) {
      if (rows.data[i * rows.width] === 13) throw new EngineError(this.odd, `Row ${i} is 13.`);
    }
    return answer;
  }
}

let test: TestApp;
let engine: OddEngine;
beforeEach(async () => {
  engine = new OddEngine();
  test = await testApp({}, {}, engine);
});
afterEach(() => test.app.close());

type Answer = Record<string, unknown>;

const send = (payload: string | Buffer, query: Record<string, string> = {}, headers = {}) =>
  test.app.inject({
    method: "POST",
    url: "/v1/dictionaries/small/encode",
    query,
    payload,
    headers: { "content-type": "application/x-ndjson", ...headers },
  });

async function linesOf(payload: string | Buffer, query: Record<string, string> = {}, headers = {}) {
  const answer = await send(payload, query, headers);
  expect(answer.statusCode, answer.body).toBe(200);
  expect(answer.headers["content-type"]).toBe("application/x-ndjson");
  return answer.body
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Answer);
}

/** Over a socket: each part is sent once the one before it has been answered. */
async function talk(parts: readonly string[], query = ""): Promise<Answer[]> {
  const { port } = new URL(await test.app.listen({ port: 0, host: "127.0.0.1" }));
  const path = `/v1/dictionaries/small/encode${query}`;
  const headers = { "content-type": "application/x-ndjson" };
  const call = open({ host: "127.0.0.1", port, method: "POST", path, headers });
  call.write(parts[0]);
  const [answer] = (await once(call, "response")) as [IncomingMessage];
  let text = "";
  let next = 1;
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    text += chunk.toString();
    const sent = parts.slice(0, next).join("").split("\n").length - 1;
    if (text.split("\n").length - 1 < sent) continue;
    if (next < parts.length) call.write(parts[next++]);
    else call.end();
  }
  call.destroy();
  return text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Answer);
}

describe("lines", () => {
  it("are answered one by one, with their ids, in their order", async () => {
    const answers = await linesOf('[1,2]\n{"input":[2,0],"id":"b"}\n\n{"id":7,"input":[3,0]}');
    expect(answers).toEqual([
      { indices: [0], values: [1], atoms: 1, steps: 1, residual_norm: 0.5, relative_error: 0.25, stop: "max_atoms" },
      expect.objectContaining({ id: "b", values: [2] }),
      expect.objectContaining({ id: 7, values: [3] }),
    ]);
    expect(engine.encodes.reduce((rows, { request }) => rows + request.rows.count, 0)).toBe(3);
  });

  it("take the query's budget, or their own", async () => {
    await linesOf('[1,2]\n{"input":[2,0],"budget":{"tolerance":0.1}}\n', { max_atoms: "3", include: "trace" });
    expect(engine.encodes[0]!.request).toMatchObject({ budget: [{ maxAtoms: 3 }, { tolerance: 0.1 }], trace: true });
    await linesOf("[1,2]\n[2,0]", { max_atoms: "3" });
    expect(engine.encodes.at(-1)!.request).toMatchObject({ budget: { maxAtoms: 3 }, trace: false });
  });

  it("are answered with a problem where they are wrong, and the others with their codes", async () => {
    const answers = await linesOf('[1,2]\n[1]\n{"input":[3,4],"id":"c","buget":{}}\nhello\n[5,6]\n');
    expect(answers).toMatchObject([
      { values: [1] },
      { line: 2, error: { status: 422, code: "PURSUIT_WRONG_WIDTH", type: "urn:pursuit:problem:wrong_width" } },
      { line: 3, id: "c", error: { status: 422, code: "PURSUIT_INVALID_FIELD", detail: expect.any(String) } },
      { line: 4, error: { status: 400, code: "PURSUIT_MALFORMED_BODY" } },
      { values: [5] },
    ]);
  });

  it.each(["PURSUIT_BUDGET_OUT_OF_RANGE", "PURSUIT_RUNTIME_CRASHED", "PURSUIT_NOT_FINITE"] as const)(
    "are encoded one by one when one of a group is %s",
    async (odd) => {
      engine.odd = odd;
      const answers = await linesOf('[1,2]\n{"input":[13,0],"id":"odd"}\nhello\n[2,0]');
      expect(answers).toMatchObject([
        { values: [1] },
        { line: 2, id: "odd", error: { code: odd, detail: "Row 0 is 13." } },
        { line: 3, error: { code: "PURSUIT_MALFORMED_BODY" } },
        { values: [2] },
      ]);
    },
  );

  it("that ran out of time are told so, and the next are tried", async () => {
    engine.odd = "PURSUIT_TIMEOUT";
    const answers = await talk(["[13,0]\n[1,0]\n", "[2,0]\n"], "?timeout_ms=5");
    expect(answers.slice(0, 2)).toMatchObject([{ error: { code: "PURSUIT_TIMEOUT" } }, { error: { status: 504 } }]);
    expect(answers[2]).toMatchObject({ values: [2] });
    expect(engine.encodes[0]!.context.deadline).toBeDefined();
  });

  it.each([
    ["dense", { values: [7, 0, 0, 0] }],
    ["map", { values: { 0: 7 } }],
    ["sparse", { indices: [0], values: [7] }],
  ])("are answered in format %s", async (format, code) => {
    expect(await linesOf("[7,0]", { format })).toMatchObject([code]);
  });

  it("carry labels where they are asked for", async () => {
    engine.labelled = true;
    expect(await linesOf("[7,0]", { include: "labels" })).toMatchObject([{ labels: ["the first"] }]);
  });

  it("may be compressed", async () => {
    const many = "[1,2]\n".repeat(5000);
    expect(await linesOf(gzipSync(many), {}, { "content-encoding": "gzip" })).toHaveLength(5000);
  });

  it("end where they inflate over a hundredfold: before the first answer with a status, later with a record", async () => {
    const headers = { "content-encoding": "br" };
    const refused = await send(brotliCompressSync(Buffer.alloc(8 << 20, "\n")), {}, headers);
    expect([refused.statusCode, refused.json()]).toEqual([
      413,
      expect.objectContaining({ code: "PURSUIT_BODY_TOO_LARGE", detail: expect.stringContaining("inflate to over") }),
    ]);
    const lines = await linesOf(brotliCompressSync(Buffer.from("[1,2]\n".repeat(2 << 20))), {}, headers);
    expect(lines.at(-1)).toMatchObject({ error: { code: "PURSUIT_BODY_TOO_LARGE" } });
    expect(lines.length).toBeGreaterThan(1000);
    // Of two million that it would have been.
    expect(lines.length).toBeLessThan(400_000);
  });
});

describe("a stream of lines", () => {
  it.each<[string, string, Record<string, string>, number, string]>([
    ["nothing", "", {}, 400, "PURSUIT_MALFORMED_BODY"],
    ["blank lines", "\n \n\n", {}, 400, "PURSUIT_MALFORMED_BODY"],
    ["a format that lines have not", "[1,2]", { format: "csr" }, 422, "PURSUIT_INVALID_FIELD"],
    ["an unknown field", "[1,2]", { bugdet: "3" }, 422, "PURSUIT_INVALID_FIELD"],
    ["budgets that belong to no line", "[1,2]", { budget: "[{}]" }, 422, "PURSUIT_INVALID_FIELD"],
    ["a budget in letters", "[1,2]", { max_atoms: "many" }, 422, "PURSUIT_BUDGET_OUT_OF_RANGE"],
    ["rows of bytes", "[1,2]", { dtype: "float32" }, 422, "PURSUIT_INVALID_FIELD"],
    ["labels that there are not", "[1,2]", { include: "labels" }, 404, "PURSUIT_NO_LABELS"],
  ])("of %s has a status of its own", async (_what, payload, query, status, code) => {
    const answer = await send(payload, query);
    expect([answer.statusCode, answer.json<Answer>()["code"]]).toEqual([status, code]);
  });

  it.each<[EngineErrorCode, number]>([
    ["PURSUIT_DICTIONARY_FAILED", 503],
    ["PURSUIT_NOT_READY", 503],
    ["PURSUIT_QUEUE_FULL", 429],
  ])("that cannot begin for %s is answered with its status", async (code, status) => {
    engine.failFrom = 1;
    engine.failWith = new EngineError(code, "Not now.", { retryAfter: 2 });
    const answer = await send("[1,2]\n[3,4]");
    expect([answer.statusCode, answer.headers["retry-after"]]).toEqual([status, "2"]);
  });

  it("that fails on its way says at which line, and ends in order", async () => {
    engine.failFrom = 2;
    const answers = await talk(["[1,2]\n[2,0]\n", "[3,0]\n", "[4,0]\n"]);
    expect(answers.slice(0, 2)).toMatchObject([{ values: [1] }, { values: [2] }]);
    expect(answers.slice(2)).toEqual([
      { error: expect.objectContaining({ code: "PURSUIT_DICTIONARY_FAILED", status: 503 }), line: 3 },
    ]);
  });

  it("ends where its dictionary is replaced: what follows would be of other atoms", async () => {
    engine.replacedAt = 2;
    const answers = await talk(["[1,2]\n", "[3,0]\n"]);
    expect(answers).toEqual([
      expect.objectContaining({ values: [1] }),
      { error: expect.objectContaining({ code: "PURSUIT_BEING_REPLACED", status: 409 }), line: 2 },
    ]);
  });

  it("ends so, too, where its rows are of another width than the next version's", async () => {
    engine.replacedAt = 2;
    engine.failFrom = 2;
    engine.failWith = new EngineError("PURSUIT_WRONG_WIDTH", "The rows are 2 wide; this dictionary takes rows of 3.");
    const answers = await talk(["[1,2]\n", "[3,0]\n"]);
    expect(answers).toEqual([
      expect.objectContaining({ values: [1] }),
      { error: expect.objectContaining({ code: "PURSUIT_BEING_REPLACED", status: 409 }), line: 2 },
    ]);
  });

  it("that meets a fault of ours tells nothing of it, and the log all", async () => {
    engine.failFrom = 2;
    engine.failWith = new TypeError("secret path");
    const answers = await talk(["[1,2]\n", "[3,0]\n"]);
    expect(answers[1]).toMatchObject({ error: { code: "PURSUIT_INTERNAL", status: 500 }, line: 2 });
    expect(JSON.stringify(answers)).not.toContain("secret");
    expect(JSON.stringify(test.logged)).toContain("secret path");
  });

  it("waits where the queue is full, once it has begun", async () => {
    const full = new EngineError("PURSUIT_QUEUE_FULL", "Later.", { retryAfter: 0.001 });
    engine.failFrom = 2;
    engine.failWith = full;
    engine.recoverAt = 4;
    const answers = await talk(["[1,2]\n", "[3,0]\n"]);
    expect(answers).toMatchObject([{ values: [1] }, { values: [3] }]);
    expect(engine.encodes.length).toBe(4);
  });

  it("of a corrupt coding is a bad request before its first line, and ends there after it", async () => {
    const headers = { "content-encoding": "gzip" };
    const early = await send("hello", {}, headers);
    expect([early.statusCode, early.json<Answer>()["code"]]).toEqual([400, "PURSUIT_MALFORMED_BODY"]);
    const packed = gzipSync("[1,2]\n".repeat(20_000));
    const answers = await linesOf(packed.subarray(0, packed.length - 20), {}, headers);
    expect(answers[0]).toMatchObject({ values: [1] });
    expect(answers.at(-1)).toMatchObject({ error: { code: "PURSUIT_MALFORMED_BODY" }, line: expect.any(Number) });
  });

  it("is refused by a route that has none, and while the bytes in flight are at their limit", async () => {
    const decode = await test.app.inject({
      method: "POST",
      url: "/v1/dictionaries/small/decode",
      payload: "[1,2]",
      headers: { "content-type": "application/x-ndjson" },
    });
    expect([decode.statusCode, decode.json<Answer>()["code"]]).toEqual([415, "PURSUIT_UNSUPPORTED_MEDIA_TYPE"]);
    const small = await testApp({ maxBytesInFlight: 1000 });
    const answer = await small.app.inject({
      method: "POST",
      url: "/v1/dictionaries/small/encode",
      payload: `[1,${" ".repeat(1000)}2]`,
      headers: { "content-type": "application/x-ndjson" },
    });
    expect([answer.statusCode, answer.json<Answer>()["code"]]).toEqual([429, "PURSUIT_BYTES_IN_FLIGHT"]);
    await small.app.close();
  });

  it("holds nothing while it is idle", async () => {
    const tight = await testApp({ maxBytesInFlight: 1000, maxUnread: 1024 });
    const { port } = new URL(await tight.app.listen({ port: 0, host: "127.0.0.1" }));
    const path = "/v1/dictionaries/small/encode";
    const headers = { "content-type": "application/x-ndjson" };
    const idle: ReturnType<typeof open>[] = [];
    for (let i = 0; i < 40; i++) {
      const call = open({ host: "127.0.0.1", port, method: "POST", path, headers, agent: false });
      call.on("error", () => {}).write("[1,2]\n");
      const [answer] = (await once(call, "response")) as [IncomingMessage];
      expect([answer.statusCode, String((await once(answer, "data"))[0])]).toEqual([
        200,
        expect.stringContaining("[1]"),
      ]);
      idle.push(call);
    }
    const other = await tight.app.inject({ method: "POST", url: path, payload: { inputs: [[1, 2]] } });
    expect(other.statusCode).toBe(200);
    for (const call of idle) call.destroy();
    await tight.app.close();
  });

  it.each([
    ["blank lines", "\n"],
    ["spaces", " "],
    ["a line that has no end", "1"],
  ])("of %s, a byte now and then, is ended", async (_what, byte) => {
    const hasty = await testApp({ stallMs: 200, minRate: 10_000 });
    const { port } = new URL(await hasty.app.listen({ port: 0, host: "127.0.0.1" }));
    const path = "/v1/dictionaries/small/encode";
    const headers = { "content-type": "application/x-ndjson" };
    const call = open({ host: "127.0.0.1", port, method: "POST", path, headers });
    const drip = setInterval(() => call.write(byte), 10);
    const [answer] = (await once(
      call.on("error", () => {}),
      "response",
    )) as [IncomingMessage];
    clearInterval(drip);
    expect([answer.statusCode, answer.headers["connection"]]).toEqual([408, "close"]);
    call.destroy();
    await hasty.app.close();
  });

  it("gives its share of the bytes in flight back", async () => {
    const one = await testApp({ maxBytesInFlight: 6 << 20 });
    for (let i = 0; i < 5; i++) {
      const answer = await one.app.inject({
        method: "POST",
        url: "/v1/dictionaries/small/encode",
        payload: i % 2 === 0 ? "[1,2]\n" : "",
        headers: { "content-type": "application/x-ndjson" },
      });
      expect(answer.statusCode).toBe(i % 2 === 0 ? 200 : 400);
    }
    await one.app.close();
  });
});
