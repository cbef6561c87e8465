/** Which requests of web pages are refused, which get CORS answers, and what browsers are told of answers. */
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { type TestApp, testApp } from "../support/test-app.ts";

const API = "an-api-key-of-some-length";
const APP = "https://app.example.org";
const EVIL = "http://evil.example";
const ENCODE = "/v1/dictionaries/small/encode";
const STEERING = "/v1/dictionaries/small/steering/calm";
const UNLOAD = "/v2/repository/models/small/unload";
const ROWS = { inputs: [[1, 2]] };

let test: TestApp;

/** One application for each choice of options. */
const apps = new Map<string, TestApp>();
async function app(
  access: Parameters<typeof testApp>[1] = {},
  limits: Parameters<typeof testApp>[0] = {},
): Promise<void> {
  const key = JSON.stringify([access, limits]);
  test = apps.get(key) ?? (await testApp(limits, access));
  apps.set(key, test);
}
beforeEach(() => {
  for (const { engine } of apps.values()) engine.encodes.length = engine.changes.length = 0;
});
afterAll(() => Promise.all([...apps.values()].map(({ app: each }) => each.close())));

type Method = "GET" | "HEAD" | "POST" | "PUT" | "DELETE" | "OPTIONS";
const ask = (method: Method, url: string, headers: Record<string, string> = {}, payload?: object | string) =>
  test.app.inject({ method, url, headers, ...(payload !== undefined && { payload }) });

/** What an attacker's page can have a browser send without a preflight, and what it can after one. */
const REQUESTS: [Method, string, Record<string, string>, (object | string)?][] = [
  ["POST", UNLOAD, { "content-type": "text/plain" }],
  ["POST", "/v2/repository/models/small/load", { "content-type": "application/x-www-form-urlencoded" }, "a=b"],
  ["POST", UNLOAD, {}],
  ["POST", ENCODE, { "content-type": "text/plain" }, JSON.stringify(ROWS)],
  ["POST", ENCODE, { "content-type": "application/json" }, ROWS],
  ["PUT", STEERING, { "content-type": "application/json" }, { edits: [] }],
  ["DELETE", STEERING, {}],
  ["GET", "/v1/dictionaries", {}],
  ["GET", "/metrics", {}],
  ["GET", "/openapi.json", {}],
  ["GET", "/docs/json", {}],
  ["GET", "/nowhere", {}],
  ["OPTIONS", STEERING, { "access-control-request-method": "PUT" }],
  ["OPTIONS", UNLOAD, { "access-control-request-method": "POST", "access-control-request-private-network": "true" }],
];

describe("a page of another site", () => {
  it.each(REQUESTS)("is refused %s %s", async (method, url, headers, payload) => {
    await app();
    for (const from of [
      { origin: EVIL, "sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors" },
      { origin: EVIL },
      { origin: "null" },
      { "sec-fetch-site": "cross-site" },
    ]) {
      const answer = await ask(method, url, { ...headers, ...from }, payload);
      expect(answer.statusCode).toBe(403);
      expect(Object.keys(answer.headers).filter((name) => name.startsWith("access-control"))).toEqual([]);
      if (url.startsWith("/v2")) expect(Object.keys(answer.json<object>())).toEqual(["error"]);
      else expect(answer.json()).toMatchObject({ status: 403, code: "PURSUIT_ORIGIN_REFUSED" });
    }
    expect(test.engine.encodes).toEqual([]);
    expect(test.engine.changes).toEqual([]);
  });

  it.each([
    "http://localhost:81",
    "http://127.0.0.1:80",
    "http://localhost.evil.example",
    "http://sub.localhost",
    "ftp://localhost:80",
    "http://localhost:80/path",
    "localhost:80",
    "",
  ])("is one of origin %j, too", async (origin) => {
    await app();
    expect((await ask("GET", "/v1/dictionaries", { origin })).json()).toMatchObject({ code: "PURSUIT_ORIGIN_REFUSED" });
  });

  it("is told of health", async () => {
    await app({ allowedHosts: ["pursuit.example.org"] });
    for (const url of ["/health/live", "/health/ready", "/v2/health/ready"]) {
      expect((await ask("GET", url, { origin: EVIL, "sec-fetch-site": "cross-site", host: "evil" })).statusCode).toBe(
        200,
      );
    }
  });

  it("may link to the pages, and embed nothing", async () => {
    await app();
    const link = { "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document" };
    expect((await ask("GET", "/docs", link)).statusCode).toBe(200);
    expect((await ask("GET", "/", link)).statusCode).toBe(302);
    expect((await ask("GET", "/v1/dictionaries", link)).statusCode).toBe(403);
    for (const [mode, dest] of [
      ["navigate", "iframe"],
      ["no-cors", "script"],
      ["no-cors", "document"],
    ] as const) {
      const headers = { ...link, "sec-fetch-mode": mode, "sec-fetch-dest": dest };
      expect((await ask("GET", "/docs", headers)).statusCode).toBe(403);
    }
  });
});

describe("the server's own page", () => {
  it.each([
    [{ origin: "http://localhost", host: "localhost" }],
    [{ origin: "http://127.0.0.1:8080", host: "127.0.0.1:8080" }],
    [{ origin: "http://[::1]:8080", host: "[::1]:8080" }],
    [{ origin: "https://pursuit.example.org", host: "pursuit.example.org" }],
    [{ origin: "https://pursuit.example.org", host: "Pursuit.example.org:443" }],
    [{ host: "localhost", "sec-fetch-site": "same-origin" }],
    [{ host: "localhost", "sec-fetch-site": "none" }],
    [{ host: "localhost" }],
  ])("is served: %j", async (headers) => {
    await app();
    expect((await ask("POST", ENCODE, headers, ROWS)).statusCode).toBe(200);
  });
});

describe("a page of an allowed origin", () => {
  const access = { corsOrigins: [APP, "http://localhost:3000"] };

  it("reads answers and refusals, by CORS", async () => {
    await app({ ...access, apiKeys: [API] });
    const key = { authorization: `Bearer ${API}` };
    for (const [headers, status] of [
      [key, 200],
      [{}, 401],
      [{ ...key, "content-type": "text/plain" }, 415],
    ] as const) {
      const answer = await ask("POST", ENCODE, { origin: APP, "sec-fetch-site": "cross-site", ...headers }, ROWS);
      expect(answer.statusCode).toBe(status);
      expect(answer.headers["access-control-allow-origin"]).toBe(APP);
      expect(answer.headers["access-control-expose-headers"]).toContain("retry-after");
      expect(answer.headers["access-control-allow-credentials"]).toBeUndefined();
      expect(String(answer.headers["vary"])).toMatch(/origin/i);
    }
  });

  it.each([ENCODE, STEERING, UNLOAD, "/v2/models/small/infer", "/metrics", "/nowhere"])(
    "has its preflight for %s answered, without a key",
    async (url) => {
      await app({ ...access, apiKeys: [API] });
      const answer = await ask("OPTIONS", url, {
        origin: APP,
        "access-control-request-method": "PUT",
        "access-control-request-headers": "authorization,content-type",
      });
      expect(answer.statusCode).toBe(204);
      expect(answer.body).toBe("");
      expect(answer.headers).toMatchObject({
        "access-control-allow-origin": APP,
        "access-control-allow-headers": "authorization,content-type",
        "access-control-max-age": "600",
      });
      expect(answer.headers["access-control-allow-methods"]).toContain("PUT");
      const other = await ask("OPTIONS", url, { origin: EVIL, "access-control-request-method": "PUT" });
      expect([other.statusCode, other.headers["access-control-allow-origin"]]).toEqual([403, undefined]);
    },
  );

  it("is no other one's", async () => {
    await app(access);
    for (const origin of [
      EVIL,
      "https://app.example.org.evil.example",
      "http://app.example.org",
      `${APP}:444`,
      "null",
    ]) {
      const answer = await ask("GET", "/v1/dictionaries", { origin });
      expect([origin, answer.statusCode]).toEqual([origin, 403]);
    }
  });

  it("leaves OPTIONS that are no preflight to their path", async () => {
    await app(access);
    expect((await ask("OPTIONS", UNLOAD)).statusCode).toBe(405);
    for (const method of ["OPTIONS", "GET"] as const)
      expect((await ask(method, "/nowhere", { origin: APP })).json()).toMatchObject({
        code: "PURSUIT_ROUTE_NOT_FOUND",
      });
  });

  it("keeps what compression says of caching", async () => {
    await app(access, { compressFrom: 1 });
    const answer = await ask("POST", ENCODE, { origin: APP, "accept-encoding": "gzip" }, ROWS);
    expect(String(answer.headers["vary"]).toLowerCase().split(", ").toSorted()).toEqual(["accept-encoding", "origin"]);
  });
});

describe("a host", () => {
  it("that is not allowed is refused before anything else", async () => {
    await app({ allowedHosts: ["pursuit.example.org"], apiKeys: [API] });
    for (const [url, shape] of [
      ["/v1/dictionaries", { status: 403, code: "PURSUIT_HOST_REFUSED" }],
      ["/nowhere", { status: 403, code: "PURSUIT_HOST_REFUSED" }],
      ["/docs", { status: 403, code: "PURSUIT_HOST_REFUSED" }],
      ["/v2/models", { error: expect.stringContaining("PURSUIT_ALLOWED_HOSTS") as string }],
    ] as const) {
      const answer = await ask("GET", url, { host: "evil.example:8080", origin: "http://evil.example:8080" });
      expect(answer.statusCode).toBe(403);
      expect(answer.json()).toMatchObject(shape);
    }
    const headers = { host: "pursuit.example.org", authorization: `Bearer ${API}` };
    expect((await ask("GET", "/v1/dictionaries", headers)).statusCode).toBe(200);
  });
});

describe("a body of /v2", () => {
  const infer = { inputs: [{ name: "rows", datatype: "FP32", shape: [1, 2], data: [1, 2] }] };

  it.each([
    "text/plain",
    "text/plain;charset=UTF-8",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=a",
    "x",
  ])("is refused as %s", async (type) => {
    await app();
    for (const [url, payload] of [
      ["/v2/models/small/infer", infer],
      [UNLOAD, {}],
      ["/v2/repository/index", {}],
    ] as const) {
      const answer = await ask("POST", url, { "content-type": type }, JSON.stringify(payload));
      expect([url, answer.statusCode]).toEqual([url, 415]);
      expect(answer.json<{ error: string }>().error).toContain("application/json");
    }
    expect(test.engine.changes).toEqual([]);
  });

  it("needs no content type where it is empty", async () => {
    await app();
    expect((await ask("POST", UNLOAD, { "content-type": "text/plain", "content-length": "0" })).statusCode).toBe(200);
    expect((await ask("POST", UNLOAD)).statusCode).toBe(200);
  });
});

describe("what browsers are told", () => {
  it("no answer is taken for another type than it says", async () => {
    await app({ rateLimit: 1000 });
    const answers = [
      await ask("GET", "/health/live"),
      await ask("GET", "/v1/dictionaries"),
      await ask("GET", "/metrics"),
      await ask("GET", "/openapi.json"),
      await ask("GET", "/nowhere"),
      await ask("GET", "/%zz"),
      await ask("GET", "/v2/models"),
      await ask("POST", "/v2/models"),
      await ask("POST", ENCODE, {}, ROWS),
      await ask("POST", ENCODE, {}, { inputs: "none" }),
      await ask("GET", "/docs"),
      await ask("GET", "/docs/static/swagger-ui.css"),
      await ask("GET", "/v1/dictionaries", { origin: EVIL }),
    ];
    for (const { headers } of answers) expect(headers["x-content-type-options"]).toBe("nosniff");
  });

  it.each(["/", "/docs", "/docs/", "/docs/static/swagger-initializer.js"])("%s has a strict policy", async (url) => {
    await app();
    const { headers } = await ask("GET", url);
    const policy = new Map(
      String(headers["content-security-policy"])
        .split("; ")
        .map((part): [string, string] => [part.split(" ")[0]!, part.slice(part.indexOf(" ") + 1)]),
    );
    expect(policy.get("default-src")).toBe("'none'");
    expect(policy.get("frame-ancestors")).toBe("'none'");
    expect(policy.get("script-src")).toBe("'self'");
    expect(String(headers["content-security-policy"])).not.toMatch(/unsafe|\*|http:|https:/);
    expect(headers["referrer-policy"]).toBe("no-referrer");
  });

  it("a page holds no script or style of its own, as its policy demands, and loads from this server only", async () => {
    await app();
    const page = (await ask("GET", "/docs")).body;
    expect(page).not.toMatch(/<style|\son\w+=|style=/);
    for (const [tag] of page.matchAll(/<script[^>]*>/g)) expect(tag).toContain("src=");
    for (const [, url] of page.matchAll(/(?:src|href)="([^"]+)"/g)) expect(url).toMatch(/^\/docs\//);
  });
});
