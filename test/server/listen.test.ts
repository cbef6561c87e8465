import { once } from "node:events";
import { createServer, connect, type AddressInfo, type Socket } from "node:net";
import { text } from "node:stream/consumers";
import { afterEach, describe, expect, it, vi } from "vitest";
import { listen } from "../../src/server/listen.ts";
import { createGate } from "../support/gate.ts";
import { type TestApp, testApp } from "../support/test-app.ts";

/** Addresses of localhost; all of 127.0.0.0/8 is this machine on Linux. */
const names = vi.hoisted(() => ({ addresses: ["127.0.0.1", "127.0.0.2"] }));
vi.mock("node:dns/promises", () => ({
  lookup: async () => names.addresses.map((address) => ({ address, family: 4 })),
}));

const ENCODE = "/v1/dictionaries/small/encode";
let test: TestApp;
afterEach(() => test.app.close());

async function serve(): Promise<number> {
  test = await testApp();
  return Number(new URL(await listen(test.app, { host: "localhost", port: 0 })).port);
}

async function open(host: string, port: number): Promise<Socket> {
  const socket = connect(port, host);
  await once(socket, "connect");
  return socket;
}

async function said(host: string, port: number, bytes: string): Promise<string> {
  const socket = await open(host, port);
  socket.write(bytes);
  return text(socket);
}

const head = (path: string, ...headers: string[]): string =>
  [`POST ${path} HTTP/1.1`, "host: 127.0.0.1", "content-type: application/json", ...headers, "", ""].join("\r\n");

describe.each(["127.0.0.1", "127.0.0.2"])("localhost at %s", (host) => {
  it("answers bytes that are no HTTP in words", async () => {
    expect(await said(host, await serve(), "SSH-2.0-x\r\n\r\n")).toMatch(/^HTTP\/1\.1 400 [^]*PURSUIT_BAD_REQUEST/);
  });

  it("does not ask for a body whose request it refuses by the head", async () => {
    const answer = await said(
      host,
      await serve(),
      head("/v1/dictionaries/none/encode", "content-length: 9000", "expect: 100-continue"),
    );
    expect(answer).toMatch(/^HTTP\/1\.1 404 /);
  });

  it("answers what it has accepted when the server closes", async () => {
    const port = await serve();
    const [asked, gate] = [createGate(), createGate()];
    const encode = test.engine.encode.bind(test.engine);
    vi.spyOn(test.engine, "encode").mockImplementation(async (...args) => {
      asked.open();
      await gate.passed;
      return encode(...args);
    });
    const socket = await open(host, port);
    const body = JSON.stringify({ inputs: [[1, 2]] });
    socket.write(head(ENCODE, `content-length: ${body.length}`) + body);
    await asked.passed;
    const closed = test.app.close();
    gate.open();
    expect(await text(socket)).toMatch(/^HTTP\/1\.1 200 [^]*"codes"/);
    await closed;
    await expect(open(host, port)).rejects.toMatchObject({ code: "ECONNREFUSED" });
  });
});

describe("listen", () => {
  it("says which address another process has", async () => {
    const other = createServer().listen(0, "127.0.0.1");
    await once(other, "listening");
    const { port } = other.address() as AddressInfo;
    test = await testApp();
    await expect(listen(test.app, { host: "127.0.0.1", port })).rejects.toThrow(
      new RegExp(`127\\.0\\.0\\.1:${port} is in use by another process\\. Choose another port with PURSUIT_PORT`),
    );
    other.close();
  });

  it("passes over an address that this machine does not have", async () => {
    names.addresses = ["127.0.0.1", "192.0.2.1"];
    const port = await serve();
    expect(await said("127.0.0.1", port, "x\r\n\r\n")).toMatch(/^HTTP\/1\.1 400 /);
    names.addresses = ["127.0.0.1", "127.0.0.2"];
  });
});
