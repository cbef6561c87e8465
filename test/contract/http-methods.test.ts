/** Every method on every path has an answer by contract: a status, a type and a body that the API documents. */
import { METHODS } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openSocket, type RawAnswer, readAnswer } from "../support/raw-http.ts";
import { type TestApp, testApp } from "../support/test-app.ts";

/** Paths that exist, and the methods that they take. */
const PATHS: Readonly<Record<string, string>> = {
  "/v1/dictionaries": "GET",
  "/v1/dictionaries/small": "GET",
  "/v1/dictionaries/small/encode": "POST",
  "/v1/dictionaries/small/decode": "POST",
  "/v1/dictionaries/small/steer": "POST",
  "/v1/dictionaries/small/steering": "GET",
  "/v1/dictionaries/small/steering/bright": "DELETE, GET, PUT",
  "/v1/dictionaries/small/features": "GET",
  "/v1/dictionaries/small/features/1": "GET",
  "/v1/dictionaries/small/map": "GET",
  "/v1/dictionaries/small/examples": "GET",
  "/v1/transfer": "POST",
  "/health/live": "GET",
  "/metrics": "GET",
  "/openapi.json": "GET",
  "/v2": "GET",
  "/v2/health/ready": "GET",
  "/v2/models/small/infer": "POST",
  "/v2/models/small/versions/1/infer": "POST",
  "/v2/repository/index": "POST",
};

const ODD_PATHS = [
  "/docs/static/..",
  "/docs/static/../../package.json",
  "/docs/static/%2e%2e/x",
  "/docs/static/%5c..",
  "/docs/static/x%00y",
  "/v1",
  "/v1/",
  "/v1/dictionaries/",
  "/v1//dictionaries/small",
  "//v1/dictionaries",
  "/v1/%2e%2e/health/live",
  "/v1/dictionaries/%00",
  "/v1/dictionaries/%zz",
  "/v1/dictionaries/small/features/%",
  `/v1/dictionaries/${"x".repeat(300)}`,
  `/${"x/".repeat(5000)}`,
  "/metrics/..",
  "/health/live;x",
  "/v2/nothing",
  "/v2/models/%zz/infer",
  "/v2/models/%00",
  `/v2/models/${"x".repeat(9000)}`,
  "/%ff",
];

let test: TestApp;
let port: number;
beforeAll(async () => {
  test = await testApp();
  await test.app.listen({ host: "127.0.0.1", port: 0 });
  ({ port } = test.app.server.address() as AddressInfo);
});
afterAll(() => test.app.close());

async function ask(method: string, path: string): Promise<RawAnswer> {
  const socket = await openSocket(port);
  const withBody = "content-type: text/csv\r\ncontent-length: 3\r\n\r\n1,2";
  socket.write(`${method} ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n${withBody}`);
  return readAnswer(socket);
}

/** Refusals are told in the form of their part of the API. */
function expectRefusal(method: string, path: string, { status, headers, body }: RawAnswer): void {
  const what = `${method} ${path.slice(0, 60)} → ${status} ${body.slice(0, 200)}`;
  expect(status, what).toBeLessThan(500);
  if (status < 400) return;
  const v2 = /^\/v2(\/|$)/.test(path);
  expect(headers["content-type"], what).toBe(v2 ? "application/json" : "application/problem+json");
  if (method === "HEAD") return;
  const said = JSON.parse(body) as Record<string, unknown>;
  expect(Object.keys(said), what).toEqual(v2 ? ["error"] : ["type", "title", "status", "code", "detail", "request_id"]);
  expect(body.length, what).toBeLessThan(1000);
}

describe("every method of Node's parser", () => {
  it.each(Object.entries(PATHS))("on %s: %s, or 405 with allow", async (path, taken) => {
    // HEAD goes where GET does; the table says what a client would try.
    const methods = METHODS.filter((method) => !taken.split(", ").includes(method) && method !== "HEAD");
    for (const method of methods) {
      const answer = await ask(method, path);
      expectRefusal(method, path, answer);
      expect(answer.status, `${method} ${path}`).toBe(405);
      if (method === "CONNECT") continue;
      expect(answer.headers["allow"]?.replace("GET, HEAD", "GET"), `${method} ${path}`).toBe(taken);
    }
  });

  it.each(ODD_PATHS)("on %s: a refusal in its form", async (path) => {
    for (const method of METHODS) expectRefusal(method, path, await ask(method, path));
  });

  it("is not needed for a refusal: one that nobody knows is 400 in its form", async () => {
    for (const path of ["/v1/dictionaries", "/v2/models/small"]) {
      const answer = await ask("BREW", path);
      expect(answer.status).toBe(400);
      expectRefusal("BREW", path, answer);
    }
  });
});

it("a path that leaves the static files is 404, and none of them is a fault of the server", async () => {
  expect((await ask("GET", "/docs/static/..")).status).toBe(404);
  expect(test.logged.filter(({ level }) => Number(level) >= 50)).toEqual([]);
});

it("a missing file of a page is a problem, too, and does not repeat the query", async () => {
  const answer = await ask("GET", "/docs/static/none.map?key=a-key-in-the-query");
  expect([answer.status, answer.headers["content-type"]]).toEqual([404, "application/problem+json"]);
  expect(answer.body).toContain("There is no file /docs/static/none.map.");
  expect(answer.body).not.toContain("a-key-in-the-query");
});
