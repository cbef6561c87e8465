/** The explorer's page at / and its files: to whom, with which headers. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { type TestApp, testApp } from "../../support/test-app.ts";
import { temporaryFolder } from "../../support/temporary-folder.ts";

const BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";
const PAGE = '<!doctype html><script type="module" src="./ui/page-1a2b.js"></script>';

let test: TestApp;
afterEach(() => test.app.close());

async function withPage(access = {}): Promise<TestApp> {
  const folder = temporaryFolder();
  mkdirSync(join(folder, "ui"));
  writeFileSync(join(folder, "index.html"), PAGE);
  writeFileSync(join(folder, "ui/page-1a2b.js"), "1;");
  return (test = await testApp({}, access, undefined, folder));
}

const get = (url: string, accept: string) => test.app.inject({ url, headers: { accept } });

describe("/", () => {
  it("is the page to browsers, with or without keys, under a policy that lets it load its own files only", async () => {
    for (const access of [{}, { apiKeys: ["a-key-of-sixteen-or-more"] }]) {
      await withPage(access);
      const { statusCode, body, headers } = await get("/", BROWSER);
      expect([statusCode, body]).toEqual([200, PAGE]);
      expect(headers).toMatchObject({
        "content-type": "text/html; charset=utf-8",
        vary: "accept",
        "cache-control": "no-cache",
      });
      expect(headers["content-security-policy"]).toMatch(/^default-src 'none'; script-src 'self'; style-src 'self'/);
      await test.app.close();
    }
  });

  it.each(["*/*", "application/json", "application/json, text/plain, */*"])(
    "leads clients that accept %s to /docs",
    async (accept) => {
      await withPage();
      const { statusCode, headers, body } = await get("/", accept);
      expect([statusCode, headers["location"], headers["vary"]]).toEqual([302, "docs", "accept"]);
      expect(headers["content-type"]).toBe("text/plain; charset=utf-8");
      expect(body).toMatch(/this address in a browser .* \.\/docs, \.\/openapi\.json\n$/);
    },
  );

  it("leads everybody to /docs where the page is not built", async () => {
    test = await testApp({}, {}, undefined, temporaryFolder());
    const { statusCode, body } = await get("/", BROWSER);
    expect([statusCode, body]).toEqual([302, ""]);
    expect((await get("/ui/page-1a2b.js", "*/*")).statusCode).toBe(404);
  });
});

describe("files of the page", () => {
  it("are kept by caches for good: their names hold their digest", async () => {
    await withPage({ apiKeys: ["a-key-of-sixteen-or-more"] });
    const { statusCode, headers } = await get("/ui/page-1a2b.js", "*/*");
    expect([statusCode, headers["cache-control"]]).toEqual([200, "public, max-age=31536000, immutable"]);
    expect(headers["content-type"]).toMatch(/javascript/);
    expect(headers["x-content-type-options"]).toBe("nosniff");
  });

  it.each(["/ui/nothing.js", "/ui/../index.html", "/ui/%2e%2e/index.html", "/ui/", "/index.html"])(
    "%s is not there",
    async (url) => {
      await withPage();
      const { statusCode, headers } = await get(url, "*/*");
      expect([statusCode, headers["content-type"]]).toEqual([404, "application/problem+json"]);
    },
  );
});
