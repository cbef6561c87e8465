/** A full queue refuses before it reads: the body is drained, the answer arrives, and the connection goes on. */
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { EngineError } from "../../src/engine/core/errors.ts";
import { openSocket } from "../support/raw-http.ts";
import { type TestApp, testApp } from "../support/test-app.ts";

const ENCODE = "/v1/dictionaries/small/encode";
const FULL = new EngineError("PURSUIT_QUEUE_FULL", "The queue is full.", { retryAfter: 0.25 });
let test: TestApp;
beforeEach(async () => {
  test = await testApp({ maxBody: 1 << 26, maxBytesInFlight: 1 << 26 });
});
afterEach(() => test.app.close());

const posted = (payload: object | string, url = ENCODE) =>
  test.app.inject({ method: "POST", url, payload, headers: { "content-type": "application/json" } });

describe("a full queue", () => {
  it("refuses what would wait in it, and nothing else", async () => {
    test.engine.full = FULL;
    const answer = await posted({ inputs: [[1, 2]] });
    expect(answer.json()).toMatchObject({ status: 429, code: "PURSUIT_QUEUE_FULL", detail: "The queue is full." });
    expect([answer.headers["retry-after"], answer.headers["retry-after-ms"]]).toEqual(["1", "250"]);
    expect(test.engine.encodes).toEqual([]);
    // Not even looked at.
    expect((await posted("{")).statusCode).toBe(429);
    expect((await posted({ codes: [{ indices: [0], values: [1] }] }, "/v1/dictionaries/small/decode")).statusCode).toBe(
      200,
    );
    expect((await test.app.inject("/v1/dictionaries/small")).statusCode).toBe(200);
    expect((await posted({ inputs: [[1, 2]] }, "/v1/dictionaries/none/encode")).statusCode).toBe(404);
  });

  it("drains the body and answers on a connection that goes on", async () => {
    await test.app.listen({ port: 0, host: "127.0.0.1" });
    const { port } = test.app.server.address() as AddressInfo;
    test.engine.full = FULL;
    const socket = await openSocket(port);
    const length = 16 << 20;
    const head = (bytes: number): string =>
      `POST ${ENCODE} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${bytes}\r\n\r\n`;
    // All of it before anything is read, as many clients do.
    socket.pause();
    socket.write(head(length));
    await new Promise<void>((sent) => socket.write(Buffer.alloc(length, " "), () => sent()));
    const good = JSON.stringify({ inputs: [[7, 2]] });
    test.engine.full = null;
    socket.write(`${head(good.length)}${good}`);
    let text = "";
    socket.on("data", (chunk: Buffer) => (text += chunk.toString())).resume();
    while (!text.includes('"codes"')) await new Promise((resolve) => socket.once("data", resolve));
    const statuses = [...text.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status);
    expect(statuses).toEqual(["429", "200"]);
    expect(test.engine.encodes).toHaveLength(1);
    socket.destroy();
  });
});

describe("on_overload", () => {
  it.each([
    [undefined, false],
    ["reject", false],
    ["degrade", true],
  ])("%s asks the engine for that", async (onOverload, degrade) => {
    const answer = await posted({ inputs: [[1, 2]], ...(onOverload !== undefined && { on_overload: onOverload }) });
    expect(answer.statusCode).toBe(200);
    expect(test.engine.encodes[0]!.request.degrade).toBe(degrade);
  });
});
