import { createServer, type IncomingMessage, type Server } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { afterEach, beforeEach, expect, it } from "vitest";
import { dropBody } from "../../src/routes/drop-body.ts";

const LONG = "x".repeat(300_000);

const posting = (path: string, body: string): string =>
  `POST ${path} HTTP/1.1\r\nhost: x\r\ncontent-length: ${body.length}\r\n\r\n${body}`;

let server: Server;
/** Lengths of what came of refused bodies after they were. */
let came: number[];

/** Refuses /no at its head, and answers others with the length of their body. */
function answer(request: IncomingMessage): Promise<string> | string {
  if (request.url !== "/no") return text(request).then((body) => `taken ${body.length};`);
  dropBody(request);
  let length = 0;
  request.on("data", (chunk: Buffer) => (length += chunk.length)).on("end", () => came.push(length));
  return "refused;";
}

beforeEach(async () => {
  came = [];
  server = createServer(
    (request, response) => void Promise.resolve(answer(request)).then((words) => response.end(words)),
  );
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
});
afterEach(() => {
  server.closeAllConnections();
  server.close();
});

const open = (): Socket => connect((server.address() as AddressInfo).port, "127.0.0.1").on("error", () => {});

/** What the server says on one connection, once it has said so many things. */
async function said(bytes: string, count: number): Promise<string[]> {
  const socket = open();
  socket.write(bytes);
  let all = "";
  for await (const chunk of socket) {
    all += String(chunk);
    const answers = all.match(/(?:refused|taken \d+);/g) ?? [];
    if (answers.length === count) {
      socket.destroy();
      return answers;
    }
  }
  throw new Error(`the connection ended after: ${all}`);
}

it("brings nothing of a refused body, and all of the next one on the connection", async () => {
  const answers = await said(posting("/no", LONG) + posting("/", LONG) + posting("/no", LONG) + posting("/", "ab"), 4);
  expect(answers).toEqual(["refused;", "taken 300000;", "refused;", "taken 2;"]);
  expect(came).toEqual([0, 0]);
});

it("brings nothing of one that comes in chunks", async () => {
  const chunk = `${LONG.length.toString(16)}\r\n${LONG}\r\n`;
  const head = "POST /no HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
  expect(await said(`${head}${chunk}${chunk}0\r\n\r\n${posting("/", LONG)}`, 2)).toEqual(["refused;", "taken 300000;"]);
  expect(came).toEqual([0]);
});

it("leaves the parser as it was to the next connection where its own closes in the midst of the body", async () => {
  for (let i = 0; i < 5; i++) {
    const closed = new Promise((resolve) => {
      server.once("connection", (socket) => socket.once("close", resolve));
    });
    const socket = open();
    socket.write(posting("/no", LONG).slice(0, 1000));
    await once(socket, "data");
    socket.destroy();
    await closed;
    expect(await said(posting("/", LONG), 1)).toEqual(["taken 300000;"]);
  }
});

it("does nothing once the body has come, nor to a parser that it does not know", () => {
  const parser = { 3: function other(): void {}, 4: function another(): void {} };
  const before = { ...parser };
  dropBody({ complete: false, socket: { parser } } as unknown as IncomingMessage);
  dropBody({ complete: false, socket: {} } as unknown as IncomingMessage);
  dropBody({ complete: true, socket: null } as unknown as IncomingMessage);
  expect(parser).toEqual(before);
});
