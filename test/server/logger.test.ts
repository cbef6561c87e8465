import { describe, expect, it } from "vitest";
import { createLogger } from "../../src/server/logger.ts";

const KEY = "a-key-of-sixteen-or-more";
const OTHER = "another-servers-key";

describe("the log", () => {
  const lines: string[] = [];
  const logger = createLogger("debug", [KEY], { write: (line) => lines.push(line) });

  it("holds no key of this server, in no part of a line", () => {
    const error = new Error(`cannot read http://me:${KEY}@127.0.0.1`, { cause: new Error(KEY) });
    logger.error({ err: error, url: `/v1?api_key=${KEY}`, nested: { list: [KEY] } }, `of ${KEY}`);
    logger.child({ bound: KEY }).info("said by a child");
    expect(lines).toHaveLength(2);
    expect(lines.join("")).not.toContain(KEY);
    expect(JSON.parse(lines[0]!)).toMatchObject({ url: "/v1?api_key=[redacted]", msg: "of [redacted]" });
  });

  it("holds no header that carries a key, of whatever server", () => {
    const headers = {
      authorization: OTHER,
      "proxy-authorization": OTHER,
      cookie: OTHER,
      "x-api-key": OTHER,
      accept: "a",
    };
    logger.info({ ...headers, headers, request: { headers }, err: { request: { headers } } });
    expect(lines.at(-1)).not.toContain(OTHER);
    expect(JSON.parse(lines.at(-1)!)).toMatchObject({ headers: { accept: "a", authorization: "[redacted]" } });
  });

  it("holds of a request its method and path", () => {
    logger.info({ req: { method: "GET", url: `http://me:${OTHER}@host/v1/dictionaries?key=${OTHER}#${OTHER}` } });
    expect(JSON.parse(lines.at(-1)!)).toMatchObject({ req: { method: "GET", path: "/v1/dictionaries" } });
    expect(lines.at(-1)).not.toContain(OTHER);
  });
});
