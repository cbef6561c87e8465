/** Clients that ask and do not read: what the server holds for them is bounded, and they are given up. */
import { once } from "node:events";
import type { AddressInfo, Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openSocket } from "../support/raw-http.ts";
import { itInFull } from "../support/full.ts";
import { type TestApp, testApp } from "../support/test-app.ts";

const MiB = 1 << 20;
const SET = "/v1/dictionaries/small/steering/long";
const GET = `GET ${SET} HTTP/1.1\r\nhost: x\r\n\r\n`;
/** Bytes of its answer, about: more than the sockets' own buffers hold. */
const LENGTH = 16 * MiB;

let test: TestApp;
afterEach(() => test.app.close());

async function serve(limits: Parameters<typeof testApp>[0]): Promise<string> {
  test = await testApp({ compressFrom: 0, ...limits });
  const name = "x".repeat(LENGTH);
  test.engine.sets.set("long", { name, sha256: "ab".repeat(32), edits: "[]", version: "v", stale: false });
  return test.app.listen({ port: 0, host: "127.0.0.1" });
}

/** A client that asks, and reads nothing but what it takes to see that the answer has begun. */
async function ask(requests = GET): Promise<Socket> {
  const socket = await openSocket((test.app.server.address() as AddressInfo).port);
  socket.on("error", () => {}).write(requests);
  await once(socket, "readable");
  return socket;
}

describe("an answer that nobody reads", () => {
  it("is given up after the time that a client may stall", async () => {
    await serve({ stallMs: 200 });
    const socket = await ask();
    while (test.requests.length === 0) await new Promise(setImmediate);
    expect(test.requests).toMatchObject([{ status: 200 }]);
    let bytes = 0;
    for await (const chunk of socket as AsyncIterable<Buffer>) bytes += chunk.length;
    expect(bytes).toBeLessThan(LENGTH);
  });

  it("leaves no room for another large one, and gives way to it after a second", async () => {
    const base = await serve({ maxUnread: 20 * MiB });
    const socket = await ask();
    const closed = once(socket, "close");
    const refused = await fetch(base + SET);
    expect([refused.status, await refused.json()]).toEqual([
      429,
      expect.objectContaining({ code: "PURSUIT_ANSWERS_UNREAD", detail: expect.stringMatching(/limit of 18350080/) }),
    ]);
    expect([refused.headers.get("etag"), refused.headers.get("retry-after")]).toEqual([null, "1"]);
    // Small ones have a share of their own.
    expect((await fetch(`${base}/v1/dictionaries`)).status).toBe(200);
    let answer: Response;
    do answer = await fetch(base + SET);
    while (answer.status === 429);
    expect((await answer.text()).length).toBeGreaterThan(LENGTH);
    socket.resume();
    await closed;
  });

  it("is not made again and again for a client that asks on without reading", async () => {
    await serve({ maxUnread: 40 * MiB });
    const socket = await ask(GET.repeat(50));
    const closed = once(socket, "close");
    socket.resume().end();
    await closed;
    const answered = test.requests.filter(({ status }) => status === 200).length;
    expect(answered).toBeGreaterThan(0);
    expect(answered).toBeLessThan(4);
  });
});

describe("a body whose answer nobody reads", () => {
  itInFull("is held no longer than the answer takes to make", async () => {
    await serve({ maxBytesInFlight: MiB, maxRows: 1e6, maxAnswer: 256 * MiB, maxUnread: 256 * MiB });
    const body = `{"inputs":[${Array(100_000).fill("[1,2]").join(",")}]}`;
    const headers = `host: x\r\ncontent-type: application/json\r\ncontent-length: ${body.length}`;
    const sockets: Socket[] = [];
    for (let i = 0; i < 3; i++) {
      const socket = await ask(`POST /v1/dictionaries/small/encode HTTP/1.1\r\n${headers}\r\n\r\n${body}`);
      expect(String(socket.read(15))).toBe("HTTP/1.1 200 OK");
      sockets.push(socket.pause());
    }
    for (const socket of sockets) socket.destroy();
  });
});

describe("a large answer", () => {
  beforeEach(() => serve({}));

  it("comes whole, with its length, whatever its letters", async () => {
    // Letters of one to four bytes, so that pieces end within pairs of surrogates.
    const label = "a\u00e9\u4e00\u{1f600}".repeat(200_001);
    test.engine.sets.set("odd", {
      name: label,
      sha256: "ab".repeat(32),
      edits: "[]",
      version: "v",
      stale: false,
    });
    const { port } = test.app.server.address() as AddressInfo;
    const answer = await fetch(`http://127.0.0.1:${port}/v1/dictionaries/small/steering/odd`);
    const bytes = Buffer.from(await answer.arrayBuffer());
    expect(answer.headers.get("content-length")).toBe(String(bytes.length));
    expect((JSON.parse(bytes.toString()) as { name: string }).name === label).toBe(true);
  });
});
