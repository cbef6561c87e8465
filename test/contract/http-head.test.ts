/** HEAD on every route that takes GET: the same status and headers, and no body (RFC 9110 §9.3.2). */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type TestApp, testApp } from "../support/test-app.ts";

const SET = "/v1/dictionaries/small/steering/long";

let test: TestApp;
let base: string;
beforeAll(async () => {
  test = await testApp();
  test.engine.labelled = true;
  const name = "x".repeat(1 << 20);
  test.engine.sets.set("long", { name, sha256: "ab".repeat(32), edits: "[]", version: "v", stale: false });
  test.engine.written.set(1, { text: "mine", sha256: "ab".repeat(32), version: "v", stale: false });
  base = await test.app.listen({ host: "127.0.0.1", port: 0 });
});
afterAll(() => test.app.close());

/** A path of every route that the API describes, and of those that it does not. */
function paths(): string[] {
  const described = Object.entries(test.app.swagger().paths ?? {}).filter(([, methods]) => "get" in methods!);
  const filled = described.map(([path]) =>
    path
      .replace(/\{(id|model)\}/, "small")
      .replace("{name}", "long")
      .replace("{index}", "1")
      .replace(/\/features$/, "/features?query=first"),
  );
  return [...filled, "/", "/docs", "/docs/static/index.css", "/openapi.json", "/v2/models/small/versions/1"];
}

/** Those that differ from one request to the next, or by what the client says of its connection. */
const OF_ONE = new Set(["date", "x-request-id", "server-timing", "connection", "keep-alive"]);

async function ask(method: "GET" | "HEAD", path: string, headers: Record<string, string> = {}) {
  const answer = await fetch(base + path, { method, redirect: "manual", headers });
  const shown = [...answer.headers].filter(([name]) => !OF_ONE.has(name));
  return { status: answer.status, headers: Object.fromEntries(shown), body: await answer.text() };
}

async function expectAlike(path: string, status: number, headers: Record<string, string> = {}): Promise<void> {
  const got = await ask("GET", path, headers);
  const { body, ...head } = await ask("HEAD", path, headers);
  expect([path, got.status]).toEqual([path, status]);
  expect([path, head, body]).toEqual([path, { status: got.status, headers: got.headers }, ""]);
}

describe("HEAD", () => {
  it("is answered as GET is, without the body, on every route", async () => {
    const all = paths();
    expect(all.length).toBeGreaterThan(18);
    for (const path of all) await expectAlike(path, path === "/" ? 302 : 200, { "accept-encoding": "identity" });
  });

  it.each<[string, string, number, Record<string, string>]>([
    ["is known to the client", SET, 304, { "if-none-match": '"v"' }],
    ["is compressed", SET, 200, { "accept-encoding": "gzip" }],
    ["is not there", "/v1/dictionaries/none", 404, {}],
    ["cannot be accepted", "/v1/dictionaries", 406, { accept: "image/png" }],
  ])("is answered as GET is where what it names %s", async (_what, path, status, headers) => {
    await expectAlike(path, status, headers);
  });

  it("says when the server is not ready", async () => {
    test.engine.ready = { ready: false, reason: "It is loading." };
    await expectAlike("/health/ready", 503);
    await expectAlike("/v2/health/ready", 503);
    test.engine.ready = { ready: true };
  });
});
