import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { text } from "node:stream/consumers";
import { afterEach, describe, expect, it } from "vitest";
import { Connections } from "../../../src/server/plugins/connections.ts";
import { openSocket, readAnswer } from "../../support/raw-http.ts";

const GET = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";

let server: Server;
let refused: number;
afterEach(() => {
  server.closeAllConnections();
  server.close();
});

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

/** A server under the rules; its requests are answered as told. */
async function serve(maxConnections: number, handler: Handler): Promise<void> {
  refused = 0;
  server = createServer(handler);
  new Connections({ maxConnections }, () => refused++).guard(server);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
}

const open = (): Promise<Socket> => openSocket((server.address() as AddressInfo).port);
const hello: Handler = (_request, response) => void response.end("hello");

/** Requests that wait for their answers. */
function holding(): { handler: Handler; held: ServerResponse[]; next: () => Promise<ServerResponse> } {
  const held: ServerResponse[] = [];
  let tell = (_response: ServerResponse): void => {};
  const handler: Handler = (_request, response) => {
    held.push(response);
    tell(response);
  };
  return { handler, held, next: () => new Promise((resolve) => (tell = resolve)) };
}

describe("at the limit of connections", () => {
  it("a new one takes the place of the one that was idle the longest", async () => {
    await serve(2, hello);
    const [first, second] = [await open(), await open()];
    // Asks, and is idle from now on: the other one was idle for longer.
    first.write(GET);
    await once(first, "data");
    const closed = once(second, "close");
    const third = await open();
    third.write(GET);
    await closed;
    expect((await readAnswer(third)).body).toBe("hello");
    first.write(GET);
    expect((await readAnswer(first)).body).toBe("hello");
    expect(refused).toBe(0);
  });

  it("a new one is refused in words where all are at work, and those go on", async () => {
    const { handler, next } = holding();
    await serve(1, handler);
    const busy = await open();
    const asked = next();
    busy.write(GET);
    const response = await asked;
    const answer = await readAnswer(await open());
    expect([answer.status, answer.headers["retry-after"], JSON.parse(answer.body)]).toEqual([
      503,
      "1",
      expect.objectContaining({
        code: "PURSUIT_TOO_MANY_CONNECTIONS",
        detail: expect.stringMatching(/All 1 connections.*PURSUIT_MAX_CONNECTIONS/),
      }),
    ]);
    expect(refused).toBe(1);
    response.end("at last");
    expect((await readAnswer(busy)).body).toBe("at last");
    // Its place is free again.
    const other = await open();
    const again = next();
    other.write(GET);
    (await again).end("yes");
    expect((await readAnswer(other)).body).toBe("yes");
  });

  it.each<[string, (slow: Socket) => void]>([
    ["sends a body slowly", (slow) => slow.write("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nab")],
    ["reads nothing of its answer", (slow) => slow.pause().write(GET.replace("/", "/large"))],
  ])("a new one takes the place of the slowest whose client %s", async (_what, misbehave) => {
    const asked: ServerResponse[] = [];
    await serve(3, (request, response) => {
      asked.push(response);
      if (request.url === "/large") response.end(Buffer.alloc(32 << 20));
    });
    const [busy, fast, slow] = [await open(), await open(), await open()];
    const until = async (count: number): Promise<void> => {
      while (asked.length < count) await new Promise(setImmediate);
    };
    busy.write(GET);
    await until(1);
    fast.write(`POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9999999\r\n\r\n${"x".repeat(1 << 20)}`);
    await until(2);
    asked[1]!.req.resume();
    while (asked[1]!.req.socket.bytesRead < 1 << 20) await new Promise(setImmediate);
    misbehave(slow);
    await until(3);
    const closed = once(asked[2]!, "close");
    const late = await open();
    await closed;
    expect([busy.destroyed, fast.destroyed, refused]).toEqual([false, false, 0]);
    late.write(GET);
    await until(4);
    asked[3]!.end("hello");
    expect((await readAnswer(late)).body).toBe("hello");
    asked[0]!.end("at last");
    expect((await readAnswer(busy)).body).toBe("at last");
  });

  it("a connection that was refused asks nothing", async () => {
    const { handler, held, next } = holding();
    await serve(1, handler);
    const busy = await open();
    const asked = next();
    busy.write(GET);
    await asked;
    const late = await open();
    late.write(GET);
    expect(await text(late.on("error", () => {})).catch(() => "")).not.toContain("200");
    expect(held).toHaveLength(1);
  });
});

describe("a client that ends its half of the connection after its request", () => {
  it.each<[string, (response: ServerResponse) => void]>([
    ["at once", (response) => response.end("hello")],
    [
      "in parts",
      (response) => {
        response.write("he");
        response.end("llo");
      },
    ],
    ["by writeHead", (response) => response.writeHead(201, { "x-a": "b" }).end(Buffer.from("hello"))],
    [
      "as a stream would",
      (response) => {
        response.flushHeaders();
        response.end(Buffer.from("hello"));
      },
    ],
  ])("gets its answer, whole, when it comes later: %s", async (_what, answer) => {
    const { handler, next } = holding();
    await serve(10, handler);
    const socket = await open();
    const asked = next();
    socket.end(GET);
    const response = await asked;
    await once(response.req.socket, "end");
    const read = text(socket);
    setImmediate(() => answer(response));
    expect(await read).toMatch(/^HTTP\/1\.1 20[01] (OK|Created)\r\n[^]*he[^]*llo/);
    expect((await read).match(/HTTP\/1\.1/g)).toHaveLength(1);
  });

  it("is told from one that has left, whose request closes", async () => {
    const { handler, next } = holding();
    await serve(10, handler);
    const socket = await open();
    const asked = next();
    socket.write(GET);
    const response = await asked;
    socket.destroy();
    await once(response, "close");
    expect(response.writableFinished).toBe(false);
  });

  it("gets answers to requests that it sent one after the other", async () => {
    const { handler, held } = holding();
    await serve(10, handler);
    const socket = await open();
    socket.end(GET + GET);
    while (held.length < 2) await new Promise(setImmediate);
    await once(held[0]!.req.socket, "end");
    const read = text(socket);
    held[0]!.end("one");
    held[1]!.end("two");
    expect(await read).toMatch(/^HTTP\/1\.1 200 OK[^]*one[^]*HTTP\/1\.1 200 OK[^]*two/);
  });
});
