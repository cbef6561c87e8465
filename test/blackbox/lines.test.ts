/** Streams of lines over the socket: clients that send first, read late, never read, stop, or leave. */
import { once } from "node:events";
import { type ClientRequest, type IncomingMessage, request } from "node:http";
import { gzipSync } from "node:zlib";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type Encoded, post } from "../support/client.ts";
import { FULL, itInFull } from "../support/full.ts";
import { writeModelFolder } from "../support/model-folder.ts";
import { residentMiB } from "../support/process-figures.ts";
import { openSocket } from "../support/raw-http.ts";
import { type RunningServer, startServer } from "../support/running-server.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

const D = 4;
const ENCODE = "/v1/dictionaries/small/encode";
const LINES = { "content-type": "application/x-ndjson" };
const models = temporaryFolder();
/** The atoms are the axes: a row's code is its positive numbers. */
writeModelFolder(models, "small", {
  atoms: Float32Array.from({ length: D * D }, (_, i) => Number(i % (D + 1) === 0)),
  d: D,
});

interface Line {
  readonly id?: number;
  readonly values?: number[];
  readonly error?: { readonly code: string };
  readonly line?: number;
}

function open(port: number, headers = {}): ClientRequest {
  return request({ host: "127.0.0.1", port, method: "POST", path: ENCODE, headers: { ...LINES, ...headers } });
}

async function send(call: ClientRequest, text: string): Promise<void> {
  if (!call.write(text)) await once(call, "drain");
}

async function read(answer: IncomingMessage): Promise<Line[]> {
  let text = "";
  for await (const chunk of answer.setEncoding("utf8") as AsyncIterable<string>) text += chunk;
  return text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Line);
}

const lineOf = (id: number): string => `{"input":[${id + 1},0,0,-1],"id":${id}}\n`;
const block = (from: number, count: number): string =>
  Array.from({ length: count }, (_, i) => lineOf(from + i)).join("");

/** Every line's own code, in order. */
function expectAnswers(answers: readonly Line[], count: number): void {
  expect([answers.at(-1), answers.length]).toEqual([expect.objectContaining({ id: count - 1 }), count]);
  for (const [i, { id, values }] of answers.entries()) {
    if (id !== i || values?.[0] !== i + 1) expect({ id, values }).toEqual({ id: i, values: [i + 1] });
  }
}

/** More than the sockets hold. */
const LINES_SENT = FULL ? 100_000 : 40_000;

describe("a stream of lines", () => {
  let server: RunningServer;
  beforeAll(async () => {
    server = await startServer(models, temporaryFolder());
  });
  afterAll(async () => {
    expect(await server.stop()).toBe(0);
  });

  it("is answered while it is sent, in a bounded room", async () => {
    const call = open(server.port);
    const before = residentMiB(server.process.pid!);
    const answered = once(call, "response").then(([answer]) => read(answer as IncomingMessage));
    let most = 0;
    for (let from = 0; from < LINES_SENT; from += 1000) {
      await send(call, block(from, 1000));
      most = Math.max(most, residentMiB(server.process.pid!) - before);
    }
    call.end();
    expectAnswers(await answered, LINES_SENT);
    expect(most).toBeLessThan(256);
  });

  itInFull("may be sent whole before anything is read, however much the sockets hold", async () => {
    const call = open(server.port);
    const response = once(call, "response") as Promise<[IncomingMessage]>;
    for (let from = 0; from < LINES_SENT; from += 1000) await send(call, block(from, 1000));
    call.end();
    await once(call, "finish");
    expectAnswers(await read((await response)[0]), LINES_SENT);
  });

  it("answers a line before the next is sent", async () => {
    const call = open(server.port);
    call.write(lineOf(0));
    const [answer] = (await once(call, "response")) as [IncomingMessage];
    let seen = 0;
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      expect(JSON.parse(chunk.toString())).toMatchObject({ id: seen, values: [seen + 1] });
      if (++seen < 5) call.write(lineOf(seen));
      else call.end();
    }
    expect(seen).toBe(5);
  });

  it("goes on after a line that is wrong", async () => {
    const call = open(server.port);
    call.end(`${lineOf(0)}[1,2]\n{"input":[1,0,0,0],"budget":{"max_atoms":-1}}\n${"x".repeat(2 << 20)}\n${lineOf(4)}`);
    const [answer] = (await once(call, "response")) as [IncomingMessage];
    const answers = await read(answer);
    expect(answers.map(({ error, line }) => [error?.code, line])).toEqual([
      [undefined, undefined],
      ["PURSUIT_WRONG_WIDTH", 2],
      ["PURSUIT_BUDGET_OUT_OF_RANGE", 3],
      ["PURSUIT_BODY_TOO_LARGE", 4],
      [undefined, undefined],
    ]);
    expect(answers[4]).toMatchObject({ id: 4, values: [5] });
  });

  itInFull("may be compressed", async () => {
    const call = open(server.port, { "content-encoding": "gzip" });
    call.end(gzipSync(block(0, 20_000)));
    const [answer] = (await once(call, "response")) as [IncomingMessage];
    expectAnswers(await read(answer), 20_000);
  });
});

describe("a server with little patience", () => {
  let server: RunningServer;
  beforeAll(async () => {
    server = await startServer(models, temporaryFolder(), {
      PURSUIT_STALL_MS: "200",
      PURSUIT_STREAM_BUFFER: "1024",
      PURSUIT_MAX_BYTES_IN_FLIGHT: String(6 << 20),
      PURSUIT_MAX_BODY: "65536",
    });
  });
  afterAll(async () => {
    expect(await server.stop()).toBe(0);
  });
  /** One stream takes most of the bytes in flight: another one shows that they were given back. */
  afterEach(async () => {
    const call = open(server.port);
    call.end(lineOf(0));
    const [answer] = (await once(call, "response")) as [IncomingMessage];
    expectAnswers(await read(answer), 1);
  });

  it("ends a stream whose client sends without end and never reads", async () => {
    const socket = await openSocket(server.port);
    socket.on("error", () => {});
    const closed = new Promise((resolve) => socket.once("close", resolve));
    socket.pause();
    socket.write(
      `POST ${ENCODE} HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n`,
    );
    // Long names: the sockets' own buffers, some megabytes, are full the sooner.
    const part = `${JSON.stringify({ input: [1, 0, 0, 0], id: "x".repeat(250) })}\n`.repeat(1000);
    const chunk = `${part.length.toString(16)}\r\n${part}\r\n`;
    const pump = (): void => {
      while (!socket.destroyed && socket.write(chunk));
      socket.once("drain", pump);
    };
    pump();
    await closed;
  });

  it("tells a client that stops sending so, in the stream", async () => {
    const call = open(server.port);
    call.on("error", () => {});
    call.write(lineOf(0));
    const [answer] = (await once(call, "response")) as [IncomingMessage];
    const answers = await read(answer);
    expect(answers).toMatchObject([{ id: 0 }, { error: { code: "PURSUIT_BODY_STALLED" }, line: 2 }]);
  });

  it("tells one that never began by a status", async () => {
    const call = open(server.port);
    call.on("error", () => {});
    call.write("[1,");
    const [answer] = (await once(call, "response")) as [IncomingMessage];
    expect(answer.statusCode).toBe(408);
    answer.resume();
    await once(answer, "close");
  });

  it("frees all of a stream whose client hangs up", async () => {
    const call = open(server.port);
    call.on("error", () => {});
    call.write(block(0, 2000));
    await once(call, "response");
    const gone = new Promise((resolve) => call.once("close", resolve));
    call.destroy();
    await gone;
    // The bytes are given back when the server has seen it go.
    let status = 429;
    while (status === 429) {
      const next = open(server.port);
      next.end(lineOf(0));
      const [answer] = (await once(next, "response")) as [IncomingMessage];
      status = answer.statusCode!;
      await read(answer);
    }
    expect(status).toBe(200);
  });

  it("stops a body that inflates beyond the limit, and says how far it came", async () => {
    const bomb = gzipSync(Buffer.alloc(16 << 20, " "));
    const answer = await fetch(server.base + ENCODE, {
      method: "POST",
      headers: { "content-type": "application/json", "content-encoding": "gzip" },
      body: bomb,
    });
    expect(answer.status).toBe(413);
    expect(await answer.json()).toMatchObject({
      code: "PURSUIT_BODY_TOO_LARGE",
      detail: expect.stringMatching(/The first \d+ bytes .* inflate to over \d+ bytes; at most 65536/),
    });
    const plain = await post<Encoded>(server.base, ENCODE, { inputs: [[1, 0, 0, 0]] });
    expect(plain.codes).toHaveLength(1);
  });
});

describe("a server that closes", () => {
  it("ends its streams with a record, and itself in order", async () => {
    const server = await startServer(models, temporaryFolder());
    const call = open(server.port);
    call.on("error", () => {});
    call.write(lineOf(0));
    const [answer] = (await once(call, "response")) as [IncomingMessage];
    const answers = read(answer);
    const stopped = server.stop();
    expect(await answers).toMatchObject([{ id: 0 }, { error: { code: "PURSUIT_DRAINING" }, line: 2 }]);
    expect(await stopped).toBe(0);
  });
});
