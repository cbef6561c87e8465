/** Which key each route requires, what is answered without it, and that no key is ever told. */
import { afterEach, describe, expect, it, vi } from "vitest";
import { type TestApp, testApp } from "../support/test-app.ts";

const API = "an-api-key-of-some-length";
const OTHER = "another-api-key-as-long==";
const ADMIN = "the-management-key-itself";
const WRONG = "a-wrong-key-of-some-length";

let test: TestApp;
afterEach(() => test.app.close());

async function app(access: Parameters<typeof testApp>[1]): Promise<TestApp> {
  test = await testApp({}, access);
  return test;
}
const asked = (method: "GET" | "POST" | "PUT", url: string, key?: string, scheme = "Bearer") =>
  test.app.inject({
    method,
    url,
    ...(key !== undefined && { headers: { authorization: `${scheme} ${key}` } }),
    ...(method === "POST" && { payload: ROWS }),
    ...(method === "PUT" && { payload: { edits: [] } }),
  });

const HEALTH = ["/health/live", "/health/ready", "/v2/health/live"];
const PAGES = ["/docs", "/docs/", "/docs/json", "/docs/static/swagger-ui.css"];
const GUARDED = ["/v1/dictionaries", "/v1/dictionaries/small", "/metrics", "/openapi.json", "/nowhere", "/v2/models"];
const ENCODE = "/v1/dictionaries/small/encode";
const ROWS = { inputs: [[1, 2]] };
const STEERING = "/v1/dictionaries/small/steering/calm";
const LOAD = "/v2/repository/models/small/load";

describe("with API keys", () => {
  it("every route but health and pages requires one", async () => {
    await app({ apiKeys: [API, OTHER] });
    for (const url of [...HEALTH, ...PAGES]) expect([url, (await asked("GET", url)).statusCode]).toEqual([url, 200]);
    expect((await asked("GET", "/")).statusCode).toBe(302);
    for (const url of GUARDED) {
      const answer = await asked("GET", url);
      expect([url, answer.statusCode]).toEqual([url, 401]);
      expect(answer.headers["www-authenticate"]).toBe('Bearer realm="pursuit"');
      if (url.startsWith("/v2")) continue;
      expect(answer.headers["content-type"]).toBe("application/problem+json");
      expect(answer.json()).toMatchObject({
        status: 401,
        code: "PURSUIT_UNAUTHORIZED",
        request_id: answer.headers["x-request-id"],
      });
    }
    for (const url of GUARDED) {
      for (const key of [API, OTHER]) expect((await asked("GET", url, key)).statusCode).not.toBe(401);
    }
    expect((await asked("POST", ENCODE)).statusCode).toBe(401);
    expect((await asked("POST", ENCODE, OTHER)).statusCode).toBe(200);
  });

  it.each([
    ["another key", WRONG, "Bearer"],
    ["a beginning of one", API.slice(0, -1), "Bearer"],
    ["one and more", `${API}x`, "Bearer"],
    ["nothing", "", "Bearer"],
    ["another scheme", API, "Basic"],
  ])("%s is 401 with the reason", async (_what, key, scheme) => {
    await app({ apiKeys: [API] });
    const answer = await asked("GET", "/v1/dictionaries", key, scheme);
    expect(answer.statusCode).toBe(401);
    expect(answer.headers["www-authenticate"]).toBe('Bearer realm="pursuit", error="invalid_token"');
  });

  it("the scheme may be written in any case", async () => {
    await app({ apiKeys: [API] });
    expect((await asked("GET", "/v1/dictionaries", API, "bearer")).statusCode).toBe(200);
  });

  it("nothing is said of a dictionary, and no body is read, without one", async () => {
    await app({ apiKeys: [API] });
    expect((await asked("GET", "/v1/dictionaries/none")).statusCode).toBe(401);
    await asked("POST", ENCODE, WRONG);
    expect(test.engine.encodes).toEqual([]);
    expect((await asked("GET", "/v1/dictionaries/none", API)).statusCode).toBe(404);
  });

  it("one also manages where there are no management keys", async () => {
    await app({ apiKeys: [API] });
    expect((await asked("PUT", STEERING)).statusCode).toBe(401);
    expect((await asked("PUT", STEERING, API)).statusCode).toBe(201);
  });
});

describe("with management keys", () => {
  it("management asks for one of them, and they pass everywhere", async () => {
    await app({ apiKeys: [API], adminKeys: [ADMIN] });
    for (const [method, url, done] of [
      ["PUT", STEERING, 201],
      ["POST", LOAD, 200],
    ] as const) {
      expect((await asked(method, url)).statusCode).toBe(401);
      expect((await asked(method, url, WRONG)).statusCode).toBe(401);
      const answer = await asked(method, url, API);
      expect(answer.statusCode).toBe(403);
      expect(answer.headers["www-authenticate"]).toBe('Bearer realm="pursuit", error="insufficient_scope"');
      expect(answer.body).toContain("requires a management key");
      expect((await asked(method, url, ADMIN)).statusCode).toBe(done);
    }
    expect((await asked("POST", ENCODE, ADMIN)).statusCode).toBe(200);
  });

  it("alone they guard management only", async () => {
    await app({ adminKeys: [ADMIN] });
    expect((await asked("POST", ENCODE)).statusCode).toBe(200);
    expect((await asked("PUT", STEERING)).statusCode).toBe(401);
    expect((await asked("PUT", STEERING, ADMIN)).statusCode).toBe(201);
  });
});

describe("a key", () => {
  /** Where people put keys; each as a path with headers. */
  const places = (key: string): readonly (readonly [string, Record<string, string>])[] => [
    ["/v1/dictionaries/small", { authorization: `Bearer ${key}` }],
    ["/v1/dictionaries/small", { authorization: `Basic ${Buffer.from(`me:${key}`).toString("base64")}` }],
    ["/v1/dictionaries/small", { "x-api-key": key, cookie: `key=${key}`, "proxy-authorization": key }],
    ...["key", "api_key", "token", "access_token", "apikey", "anything"].map(
      (name) => [`/v1/dictionaries/small?${name}=${key}`, {}] as const,
    ),
    [`/v1/dictionaries/small?key=${encodeURIComponent(key)}`, {}],
    [`/v1/dictionaries/small/features?query=a&limit=${key}`, { authorization: `Bearer ${API}` }],
    [`http://me:${key}@localhost/v1/dictionaries/none`, { authorization: `Bearer ${API}` }],
    [`http://me:${key}@localhost/nowhere`, {}],
    ["/metrics", { authorization: `Bearer ${key}` }],
    ["/openapi.json", { authorization: `Bearer ${key}` }],
    ["/docs/json", { authorization: `Bearer ${key}` }],
    ["/docs/static/swagger-initializer.js", { authorization: `Bearer ${key}` }],
  ];
  /** Only of a key that the server knows can it tell that it is one. */
  const placesOfKnown = (key: string): readonly (readonly [string, Record<string, string>])[] => [
    [`/v1/dictionaries/${key}`, { authorization: `Bearer ${API}` }],
    [`/v2/models/${key}`, { authorization: `Bearer ${API}` }],
    [`/nowhere/${key}`, { authorization: `Bearer ${API}` }],
    ["/v1/dictionaries/small", { authorization: `Bearer ${API}`, accept: `image/${key}` }],
  ];

  it("is in no answer, no log line, no metric and no description", async () => {
    await app({ apiKeys: [API, OTHER], adminKeys: [ADMIN], rateLimit: 1000 });
    test.logger.level = "trace";
    test.app.log.level = "trace";
    test.engine.failure = new Error(`unforeseen: ${OTHER}`);
    const told: string[] = [];
    for (const key of [API, OTHER, ADMIN, WRONG]) {
      for (const [url, headers] of key === WRONG ? places(key) : [...places(key), ...placesOfKnown(key)]) {
        for (const method of ["GET", "POST", "PUT"] as const) {
          const answer = await test.app.inject({ method, url, headers });
          told.push(answer.body, JSON.stringify(answer.headers));
        }
      }
      const body = { inputs: [[1, 2]], budget: { [key]: 1 } };
      const answer = await test.app.inject({
        method: "POST",
        url: ENCODE,
        headers: { authorization: `Bearer ${API}` },
        payload: key === WRONG ? ROWS : body,
      });
      expect(answer.statusCode).toBe(key === WRONG ? 500 : 422);
      told.push(answer.body);
    }
    expect(test.logged.some(({ msg }) => msg === "answered")).toBe(true);
    expect(test.logged.some(({ level }) => level === 50)).toBe(true);
    const all = [...told, JSON.stringify(test.logged), JSON.stringify(test.requests)].join("\n");
    for (const key of [API, OTHER, ADMIN, WRONG]) {
      expect(all).not.toContain(key);
      expect(all).not.toContain(encodeURIComponent(key));
    }
  });

  it("is not kept by the page at /docs", async () => {
    await app({ apiKeys: [API] });
    const { body } = await test.app.inject({ url: "/docs/static/swagger-initializer.js" });
    expect(body).toContain('"persistAuthorization":false');
  });
});

describe("without keys", () => {
  it("nobody is asked", async () => {
    await app({});
    for (const url of ["/v1/dictionaries", "/metrics"]) expect((await asked("GET", url)).statusCode).toBe(200);
    expect((await asked("PUT", STEERING)).statusCode).toBe(201);
    expect((await asked("GET", "/v1/dictionaries", WRONG)).statusCode).toBe(200);
  });
});

describe("a rate limit", () => {
  it("is each key's own, answers with a time to come again, and leaves health alone", async () => {
    await app({ apiKeys: [API, OTHER], rateLimit: 3 });
    for (let i = 0; i < 3; i++) expect((await asked("GET", "/v1/dictionaries", API)).statusCode).toBe(200);
    const answer = await asked("GET", "/v1/dictionaries", API);
    expect(answer.statusCode).toBe(429);
    expect(answer.headers["content-type"]).toBe("application/problem+json");
    expect(answer.json()).toMatchObject({ code: "PURSUIT_RATE_LIMITED", status: 429 });
    const milliseconds = Number(answer.headers["retry-after-ms"]);
    expect(milliseconds).toBeGreaterThan(0);
    expect(milliseconds).toBeLessThanOrEqual(60_000);
    expect(Number(answer.headers["retry-after"])).toBe(Math.ceil(milliseconds / 1000));
    for (const scheme of ["bearer", "BEARER", "Bearer "])
      expect((await asked("GET", "/v1/dictionaries", API, scheme)).statusCode).toBe(429);
    expect((await asked("GET", "/v1/dictionaries", OTHER)).statusCode).toBe(200);
    // Whoever has no key spends nobody's.
    for (let i = 0; i < 5; i++) expect((await asked("GET", "/v1/dictionaries", WRONG)).statusCode).toBe(401);
    for (const url of ["/health/live", "/docs"])
      for (let i = 0; i < 5; i++) expect((await asked("GET", url, API)).statusCode).toBe(200);
  });

  it("is by address where there are no keys", async () => {
    await app({ rateLimit: 2 });
    const from = (remoteAddress: string) => test.app.inject({ url: "/v1/dictionaries", remoteAddress });
    expect((await from("10.0.0.1")).statusCode).toBe(200);
    expect((await from("10.0.0.1")).statusCode).toBe(200);
    expect((await from("10.0.0.1")).statusCode).toBe(429);
    expect((await from("10.0.0.2")).statusCode).toBe(200);
  });

  it("goes by a clock that nobody sets", async () => {
    vi.useFakeTimers({ toFake: ["Date", "performance"] });
    try {
      await app({ rateLimit: 1 });
      const status = async (): Promise<number> => (await asked("GET", "/v1/dictionaries")).statusCode;
      const day = 86_400_000;
      const now = Date.now();
      expect([await status(), await status()]).toEqual([200, 429]);
      vi.setSystemTime(now + day);
      expect(await status()).toBe(429);
      vi.setSystemTime(now - day);
      vi.advanceTimersByTime(60_000);
      expect([await status(), await status()]).toEqual([200, 429]);
    } finally {
      vi.useRealTimers();
    }
  });

  it("is off unless asked for", async () => {
    await app({});
    for (let i = 0; i < 50; i++) expect((await asked("GET", "/v1/dictionaries")).statusCode).toBe(200);
  });
});
