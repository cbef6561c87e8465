/** Clients that break the protocol, lie about lengths, leave early or send what is made to hurt; and those beside them. */
import { once } from "node:events";
import { gzipSync } from "node:zlib";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type Encoded, post } from "../support/client.ts";
import { writeModelFolder } from "../support/model-folder.ts";
import { openSocket, type RawAnswer, readAnswer } from "../support/raw-http.ts";
import { type RunningServer, startServer } from "../support/running-server.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

const D = 4;
const ENCODE = "/v1/dictionaries/small/encode";
const models = temporaryFolder();
writeModelFolder(models, "small", {
  atoms: Float32Array.from({ length: D * D }, (_, i) => Number(i % (D + 1) === 0)),
  d: D,
});
writeModelFolder(models, "pair", { atoms: Float32Array.of(1, 0, 0, 0, 1, 0, 0, 0), d: D });

/** The atoms are the axes: a row's code is its positive numbers. */
const GOOD = JSON.stringify({ inputs: [[1, 0, 3, 0]] });
const CODE = {
  indices: [0, 2],
  values: [1, 3],
  atoms: 2,
  steps: 2,
  residual_norm: 0,
  relative_error: 0,
  stop: "no_gain",
};

const request = (lines: readonly string[], body = ""): string => `${lines.join("\r\n")}\r\n\r\n${body}`;
const posting = (body: string, ...headers: readonly string[]): string =>
  request(
    [
      `POST ${ENCODE} HTTP/1.1`,
      "host: x",
      "content-type: application/json",
      ...(headers.some((header) => /^(content-length|transfer-encoding)/.test(header))
        ? []
        : [`content-length: ${Buffer.byteLength(body)}`]),
      ...headers,
    ],
    body,
  );

async function exchange(port: number, bytes: string): Promise<RawAnswer> {
  const socket = await openSocket(port);
  socket.write(bytes);
  return readAnswer(socket);
}
const problemOf = ({ body }: RawAnswer): Record<string, unknown> => JSON.parse(body) as Record<string, unknown>;

/** All that a connection answers until the server ends it, one status line after another. */
async function statusesOf(port: number, bytes: string | Buffer): Promise<{ statuses: string[]; text: string }> {
  const socket = await openSocket(port);
  socket.write(bytes);
  let text = "";
  for await (const chunk of socket as AsyncIterable<Buffer>) text += chunk.toString();
  return { statuses: [...text.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status!), text };
}

describe("a server", () => {
  let server: RunningServer;
  beforeAll(async () => {
    server = await startServer(models, temporaryFolder());
  });
  afterAll(async () => {
    expect(await server.stop()).toBe(0);
  });
  afterEach(async () => {
    expect((await post<Encoded>(server.base, ENCODE, JSON.parse(GOOD) as object)).codes).toEqual([CODE]);
  });

  it.each([
    ["a TLS handshake", "\u0016\u0003\u0001\u0002\u0000\r\n\r\n", /HPE_INVALID_METHOD/],
    ["a header without a colon", request(["GET / HTTP/1.1", "host: x", "no colon"]), /HPE_INVALID_HEADER_TOKEN/],
    ["a header with a control character", request(["GET / HTTP/1.1", "host: x", "a: \u0001"]), /HPE_INVALID/],
    ["a content-length that is none", posting(GOOD, "content-length: many"), /HPE_INVALID_CONTENT_LENGTH/],
    ["a negative content-length", posting(GOOD, "content-length: -1"), /HPE_INVALID_CONTENT_LENGTH/],
    ["two content-lengths", posting(GOOD, "content-length: 5", "content-length: 6"), /HPE_UNEXPECTED_CONTENT_LENGTH/],
    [
      "a length and chunks",
      posting(GOOD, "content-length: 5", "transfer-encoding: chunked"),
      /HPE_INVALID_TRANSFER_ENCODING/,
    ],
    ["a chunk of no length", posting("zz\r\n", "transfer-encoding: chunked"), /HPE_INVALID_CHUNK_SIZE/],
    ["another protocol", "SSH-2.0-OpenSSH_9.6\r\n\r\n", /HPE_/],
  ])("tells a client that sends %s so, as a problem, and closes", async (_what, bytes, detail) => {
    const answer = await exchange(server.port, bytes);
    expect([answer.status, answer.headers["content-type"], answer.headers["connection"]]).toEqual([
      400,
      "application/problem+json",
      "close",
    ]);
    expect(problemOf(answer)).toMatchObject({
      status: 400,
      code: "PURSUIT_BAD_REQUEST",
      detail: expect.stringMatching(detail),
      request_id: expect.stringMatching(/^[\da-f-]{36}$/),
    });
  });

  it.each([
    ["headers that are too long", request(["GET / HTTP/1.1", "host: x", `a: ${"b".repeat(20_000)}`])],
    [
      "a budget for each of 700 rows in the query",
      request([
        `POST ${ENCODE}?dtype=float32&rows=700&budget=${encodeURIComponent(`[${Array(700).fill('{"max_atoms":4}').join(",")}]`)} HTTP/1.1`,
        "host: x",
        "content-type: application/octet-stream",
        "content-length: 0",
      ]),
    ],
  ])("names the limit and the body to a client that sends %s", async (_what, bytes) => {
    const answer = await exchange(server.port, bytes);
    expect(problemOf(answer)).toMatchObject({
      status: 431,
      code: "PURSUIT_HEAD_TOO_LARGE",
      detail: expect.stringMatching(/over 16384 bytes together.*one budget per row, in a JSON or MessagePack body/),
    });
    expect([answer.status, answer.headers["connection"]]).toEqual([431, "close"]);
  });

  it("answers a client that ends its half of the connection once its request is sent", async () => {
    const socket = await openSocket(server.port);
    socket.end(posting(GOOD));
    const answer = await readAnswer(socket);
    expect([answer.status, (JSON.parse(answer.body) as Encoded).codes]).toEqual([200, [CODE]]);
  });

  it("tells a client that ends its half before its body is whole that it was cut", async () => {
    const socket = await openSocket(server.port);
    socket.end(posting('{"inputs": [[1, 0', "content-length: 100"));
    expect(problemOf(await readAnswer(socket))).toMatchObject({
      status: 400,
      code: "PURSUIT_MALFORMED_BODY",
      detail: expect.stringMatching(/ended in the middle.*content-length/),
    });
  });

  it.each([
    ["an encoded slash", "/v1/dictionaries/small%2Fencode", "PURSUIT_DICTIONARY_NOT_FOUND"],
    ["an encoded backslash", "/v1/dictionaries/..%5C..%5Csmall", "PURSUIT_DICTIONARY_NOT_FOUND"],
    ["a slash encoded twice", "/v1/dictionaries/..%252f", "PURSUIT_DICTIONARY_NOT_FOUND"],
    ["dots", "/v1/dictionaries/..", "PURSUIT_DICTIONARY_NOT_FOUND"],
    ["a path upwards", "/v1/dictionaries/../../../etc/passwd", "PURSUIT_ROUTE_NOT_FOUND"],
    ["a line break", "/v1/dictionaries/small%0d%0aset-cookie:a=b", "PURSUIT_DICTIONARY_NOT_FOUND"],
    ["a null byte", "/v1/dictionaries/small%00.json", "PURSUIT_DICTIONARY_NOT_FOUND"],
    ["letters from elsewhere", "/v1/dictionaries/%F0%9F%92%A9", "PURSUIT_DICTIONARY_NOT_FOUND"],
    ["letters that only look the same", "/v1/dictionaries/%EF%BD%93mall", "PURSUIT_DICTIONARY_NOT_FOUND"],
    ["an object's own name", "/v1/dictionaries/__proto__", "PURSUIT_DICTIONARY_NOT_FOUND"],
    ["a name longer than any", `/v1/dictionaries/${"a".repeat(5000)}`, "PURSUIT_ROUTE_NOT_FOUND"],
    ["nothing", "/v1/dictionaries//encode", "PURSUIT_ROUTE_NOT_FOUND"],
  ])("finds no dictionary by %s", async (_what, path, code) => {
    const answer = await exchange(server.port, request([`GET ${path} HTTP/1.1`, "host: x"]));
    expect(problemOf(answer)).toMatchObject({ status: 404, code });
    expect(answer.headers["set-cookie"]).toBeUndefined();
  });

  it("answers methods that a route has not with those that it has", async () => {
    for (const method of ["PUT", "DELETE", "PATCH", "OPTIONS"]) {
      const answer = await exchange(
        server.port,
        request([`${method} ${ENCODE} HTTP/1.1`, "host: x", "content-length: 0"]),
      );
      expect(problemOf(answer), method).toMatchObject({ status: 405, code: "PURSUIT_METHOD_NOT_ALLOWED" });
      expect(answer.headers["allow"]).toBe("POST");
    }
    const head = await fetch(server.base + ENCODE, { method: "HEAD" });
    expect([head.status, await head.text()]).toEqual([405, ""]);
  });

  it.each([
    ["an unknown dictionary", 404, (bytes: string) => bytes.replace("small", "none")],
    ["an unknown content type", 415, (bytes: string) => bytes.replace("application/json", "text/csv")],
    ["an Accept that it cannot meet", 406, (bytes: string) => bytes.replace("host: x", "host: x\r\naccept: image/png")],
  ])("lets a client that sends %s and 8 MiB before it reads read why, and go on", async (_what, status, change) => {
    const large = change(posting(" ".repeat(8 << 20)));
    const { statuses, text } = await statusesOf(server.port, large + posting(GOOD, "connection: close"));
    expect(statuses).toEqual([String(status), "200"]);
    expect(text).toContain("application/problem+json");
  });

  it.each([
    ["413", "content-length: 157286400"],
    ["404", "content-length: 157286400\r\nx-path: none"],
    ["415", "content-length: 157286400\r\ncontent-encoding: zip"],
    ["413", "transfer-encoding: chunked"],
  ])("lets a client that asks for its end and sends 150 MiB before it reads read its %s", async (status, headers) => {
    const socket = await openSocket(server.port);
    let reset: Error | null = null;
    socket.setMaxListeners(0).on("error", (error) => (reset = error));
    const path = status === "404" ? ENCODE.replace("small", "none") : ENCODE;
    const head = [`POST ${path} HTTP/1.1`, "host: x", "content-type: application/json", headers, "connection: close"];
    socket.write(`${head.join("\r\n")}\r\n\r\n`);
    const chunked = headers.startsWith("transfer-encoding");
    const spaces = Buffer.alloc(1 << 20, " ");
    const piece = chunked ? Buffer.from(`100000\r\n${String(spaces)}\r\n`) : spaces;
    // As urllib does: nothing is read before everything was written.
    socket.pause();
    for (let i = 0; i < 150; i++) {
      if (!socket.write(piece)) await Promise.race([once(socket, "drain"), once(socket, "close")]);
    }
    if (chunked) socket.write("0\r\n\r\n");
    const answer = await readAnswer(socket);
    expect([String(answer.status), reset]).toEqual([status, null]);
    expect(answer.headers["connection"]).toBe("close");
  });

  it("answers pipelined requests in order, good and bad", async () => {
    const bad = ["{", '{"inputs": [[1]]}', '{"inputs": [[NaN]]}', GOOD.replace("}", ', "x": 1}'), "", '{"inputs": []}'];
    const pairs = bad.flatMap((body) => [posting(body), posting(GOOD)]).join("");
    const { statuses } = await statusesOf(server.port, pairs + posting(GOOD, "connection: close"));
    expect(statuses).toEqual(
      ["400", "422", "400", "422", "400", "422"].flatMap((status) => [status, "200"]).concat("200"),
    );
  });

  it("reads a body that comes byte by byte", async () => {
    const chunks = GOOD.split("")
      .map((character) => `1\r\n${character}\r\n`)
      .join("");
    const answer = await exchange(server.port, posting(`${chunks}0\r\n\r\n`, "transfer-encoding: chunked"));
    expect([answer.status, (JSON.parse(answer.body) as Encoded).codes]).toEqual([200, [CODE]]);
  });

  it("tells a client that waits to be told to go on, to go on", async () => {
    const { statuses } = await statusesOf(server.port, posting(GOOD, "expect: 100-continue", "connection: close"));
    expect(statuses).toEqual(["100", "200"]);
  });

  it("tells it so for lines and for compressed bodies as well", async () => {
    const told = (headers: readonly string[], body: Buffer) =>
      statusesOf(
        server.port,
        Buffer.concat([
          Buffer.from(
            request([
              `POST ${ENCODE} HTTP/1.1`,
              "host: x",
              `content-length: ${body.length}`,
              "expect: 100-continue",
              "connection: close",
              ...headers,
            ]),
          ),
          body,
        ]),
      );
    const lines = await told(["content-type: application/x-ndjson"], Buffer.from("[1,0,3,0]\n"));
    expect(lines.statuses).toEqual(["100", "200"]);
    const small = await told(["content-type: application/json", "content-encoding: gzip"], gzipSync(GOOD));
    expect(small.statuses).toEqual(["100", "200"]);
  });

  it("drops the body of one that does not wait after all, and goes on", async () => {
    const body = Buffer.alloc(8 << 20, 32);
    const head = posting("", `content-length: ${body.length}`, "expect: 100-continue").replace("small", "smal");
    const { statuses } = await statusesOf(
      server.port,
      Buffer.concat([Buffer.from(head), body, Buffer.from(posting(GOOD, "connection: close"))]),
    );
    expect(statuses).toEqual(["100", "404", "200"]);
  });

  it.each([
    ["413", posting("", "content-length: 9000000000", "expect: 100-continue")],
    ["404", posting("", "content-length: 9000", "expect: 100-continue").replace("small", "smal")],
    ["415", posting("", "content-length: 9000", "expect: 100-continue").replace("application/json", "text/csv")],
  ])("does not ask for a body whose request it refuses by the head: %s", async (status, head) => {
    const { statuses, text } = await statusesOf(server.port, head);
    expect(statuses).toEqual([status]);
    expect(text).toContain(`"status":${status}`);
    expect(text).toMatch(/^connection: close\r$/im);
  });

  it("keeps nothing of clients that leave without waiting for their answer", async () => {
    const leave = async (bytes: string): Promise<void> => {
      const socket = await openSocket(server.port);
      await new Promise<void>((sent) => socket.write(bytes, () => sent()));
      socket.resetAndDestroy();
    };
    const staying = Array.from({ length: 20 }, () => post<Encoded>(server.base, ENCODE, JSON.parse(GOOD) as object));
    await Promise.all(
      Array.from({ length: 30 }, (_, i) =>
        leave([posting(GOOD), posting(GOOD, "content-length: 1000"), posting(GOOD).slice(0, 30)][i % 3]!),
      ),
    );
    for (const { codes } of await Promise.all(staying)) expect(codes).toEqual([CODE]);
    const metrics = await (await fetch(`${server.base}/metrics`)).text();
    expect(metrics).toMatch(/^pursuit_queue_rows\{.*\} 0$/m);
    expect(metrics).not.toMatch(/^pursuit_queue_rows\{.*\} [^0]/m);
    expect(metrics).not.toMatch(/^pursuit_runtime_restarts_total\{.*\} [^0]/m);
  });

  const sent = (body: string) =>
    fetch(server.base + ENCODE, { method: "POST", headers: { "content-type": "application/json" }, body });

  it.each<[string, () => string, number, string, RegExp]>([
    [
      "24 MiB of base64 that were cut off",
      () => `{"inputs": {"data": "${"A".repeat(24 << 20)}`,
      400,
      "PURSUIT_MALFORMED_BODY",
      /cut off/,
    ],
    [
      "a quarter of a million quotes without an end",
      () => `{"inputs": "${'\\"'.repeat(120_000)}`,
      400,
      "PURSUIT_MALFORMED_BODY",
      /cut off/,
    ],
    [
      "a NaN behind a megabyte of numbers",
      () => `{"inputs": [[${"1,".repeat(500_000)}NaN]]}`,
      400,
      "PURSUIT_NAN_TOKEN",
      /token NaN/,
    ],
    [
      "one wide row and thousands of empty ones",
      () => `{"inputs": [[${"0,".repeat(1e6)}0]${",[]".repeat(16_000)}]}`,
      422,
      "PURSUIT_WRONG_WIDTH",
      /inputs\[1\] holds 0 numbers/,
    ],
    ["sixteen million brackets", () => "[".repeat(16 << 20), 422, "PURSUIT_TOO_DEEP", /deeper than 4/],
    [
      "a shape of a million sizes",
      () => `{"inputs": {"data": "AAAA", "dtype": "float32", "shape": [${"1,".repeat(1e6)}4]}}`,
      422,
      "PURSUIT_INVALID_FIELD",
      /2 to 8 sizes/,
    ],
    [
      "a field name of a megabyte",
      () => `{"inputs": [[1, 0, 3, 0]], "${"x".repeat(1 << 20)}": 1}`,
      422,
      "PURSUIT_INVALID_FIELD",
      /no field xxx/,
    ],
    [
      "a value of a megabyte",
      () => `{"inputs": [["${"x".repeat(1 << 20)}"]]}`,
      422,
      "PURSUIT_INVALID_FIELD",
      /^inputs\[0\]\[0\] must be a number; it is a string/,
    ],
  ])("refuses %s in few words", async (_what, body, status, code, detail) => {
    const answer = await sent(body());
    const text = await answer.text();
    expect(JSON.parse(text)).toMatchObject({ status, code, detail: expect.stringMatching(detail) });
    expect(text.length).toBeLessThan(2000);
  });

  it("codes a row of a large body, read on another thread, as it codes it alone", async () => {
    const row = (i: number): number[] => [i % 7, 0, i % 5, 1];
    const inputs = Array.from({ length: 16_000 }, (_, i) => row(i));
    const { codes } = await post<Encoded>(server.base, ENCODE, {
      inputs: inputs.map((values) => values.map((x) => x + 0.123456789)),
    });
    expect(codes).toHaveLength(16_000);
    const alone = await post<Encoded>(server.base, ENCODE, { inputs: [row(15_999).map((x) => x + 0.123456789)] });
    expect(codes[15_999]).toEqual(alone.codes[0]);
  });

  it("answers numbers at the edge of float32, and refuses what lies beyond it", async () => {
    const edge = [{ indices: [0, 1], values: [3e38, -3e38] }];
    const { outputs } = await post<{ outputs: unknown }>(server.base, "/v1/dictionaries/small/decode", { codes: edge });
    expect(outputs).toEqual([[3e38, -3e38, 0, 0]]);
    const long = { inputs: [[3e38, 3e38, 3e38, 3e38]], budget: { max_atoms: 0 } };
    expect((await post<Encoded>(server.base, ENCODE, long)).codes[0]).toMatchObject({
      residual_norm: 3.4028235e38,
      relative_error: 1,
    });
    const beyond = [
      { indices: [0], values: [1] },
      { indices: [0, 1], values: [3e38, 3e38] },
    ];
    await expect(post(server.base, "/v1/dictionaries/pair/decode", { codes: beyond })).rejects.toThrow(
      /422.*PURSUIT_INVALID_CODE.*row 1, column 0 adds up to more than float32 holds/,
    );
  });
});

describe("a server short of memory", () => {
  let server: RunningServer;
  beforeAll(async () => {
    server = await startServer(models, temporaryFolder(), {
      PURSUIT_MAX_BYTES_IN_FLIGHT: "2048",
      PURSUIT_MAX_BODY: "2048",
      PURSUIT_STALL_MS: "3000",
    });
  });
  afterAll(async () => {
    expect(await server.stop()).toBe(0);
  });

  it("refuses others while one client's body is on its way, and takes them when it has come", async () => {
    const padded = GOOD + " ".repeat(1900 - GOOD.length);
    const socket = await openSocket(server.port);
    // Nothing has come yet, so nothing is held.
    socket.write(posting("", "content-length: 1900", "expect: 100-continue"));
    await new Promise((resolve) => socket.once("readable", resolve));
    expect(String(socket.read())).toMatch(/^HTTP\/1\.1 100 /);
    expect((await exchange(server.port, posting(GOOD + " ".repeat(200)))).status).toBe(200);
    socket.write(padded.slice(0, -1));
    let refused: RawAnswer;
    do refused = await exchange(server.port, posting(GOOD + " ".repeat(200)));
    while (refused.status === 200);
    expect(problemOf(refused)).toMatchObject({ status: 429, code: "PURSUIT_BYTES_IN_FLIGHT" });
    expect(Number(refused.headers["retry-after"])).toBeGreaterThanOrEqual(1);
    const unasked = await statusesOf(server.port, posting("", "content-length: 700", "expect: 100-continue"));
    expect(unasked.statuses).toEqual(["429"]);
    expect(unasked.text).toMatch(/^connection: close\r$/im);
    expect((await exchange(server.port, posting(GOOD))).status).toBe(200);
    socket.write(padded.slice(-1));
    expect((await readAnswer(socket)).status).toBe(200);
    expect((await exchange(server.port, posting(GOOD + " ".repeat(200)))).status).toBe(200);
  });

  it.each([
    ["stalls", async (port: number) => void (await exchange(port, posting("{", "content-length: 2000")))],
    [
      "hangs up",
      async (port: number) => {
        const socket = await openSocket(port);
        socket.write(posting("{", "content-length: 2000", "expect: 100-continue"));
        await new Promise((resolve) => socket.once("readable", resolve));
        socket.resetAndDestroy();
        // The server sees the reset after it has been sent; refused until then.
        while ((await exchange(port, posting(GOOD + " ".repeat(500)))).status === 429);
      },
    ],
    ["sends what is refused", async (port: number) => void (await exchange(port, posting(`{${" ".repeat(1999)}`)))],
    [
      "sends more than a body may hold",
      async (port: number) => void (await exchange(port, posting(" ".repeat(50_000)))),
    ],
  ])("gets its bytes back from a client that %s", async (_what, misbehave) => {
    await misbehave(server.port);
    const answer = await exchange(server.port, posting(GOOD + " ".repeat(1900)));
    expect([answer.status, answer.status === 200 && (JSON.parse(answer.body) as Encoded).codes]).toEqual([200, [CODE]]);
  });

  it("answers each of a burst, rightly or with a time to come again", async () => {
    const burst = Array.from({ length: 60 }, () => exchange(server.port, posting(GOOD + " ".repeat(700))));
    for (const answer of await Promise.all(burst)) {
      if (answer.status === 200) expect((JSON.parse(answer.body) as Encoded).codes).toEqual([CODE]);
      else {
        expect(problemOf(answer)).toMatchObject({ status: 429, code: "PURSUIT_BYTES_IN_FLIGHT" });
        expect(Number(answer.headers["retry-after"])).toBeGreaterThanOrEqual(1);
      }
    }
    expect((await exchange(server.port, posting(GOOD))).status).toBe(200);
  });
});
