import { readFileSync } from "node:fs";
import { STATUS_CODES } from "node:http";
import { describe, expect, it } from "vitest";
import { ENGINE_ERROR_CODES } from "../../src/engine/core/errors.ts";
import { PROBLEMS } from "../../src/routes/problem.ts";
import { WIRE_ERROR_CODES } from "../../src/codecs/codec-error.ts";

const CODES = [...ENGINE_ERROR_CODES, ...WIRE_ERROR_CODES];

describe("the table of problems", () => {
  it("holds every code once, and no other", () => {
    expect(new Set(CODES).size).toBe(CODES.length);
    expect(Object.keys(PROBLEMS).toSorted()).toEqual(CODES.toSorted());
  });

  it.each(CODES)("gives %s a status and a title of its own", (code) => {
    const { status, title } = PROBLEMS[code];
    // 499 is nginx's, for a client that is gone: nobody reads it but the metrics.
    expect(status === 499 || status in STATUS_CODES).toBe(true);
    expect(status).toBeGreaterThanOrEqual(400);
    expect(Object.values(PROBLEMS).filter((other) => other.title === title)).toHaveLength(1);
  });
});

describe("docs/errors.md", () => {
  const headings =
    readFileSync(new URL("../../docs/errors.md", import.meta.url), "utf8").match(/^### PURSUIT_\w+/gm) ?? [];

  it("has a heading for every code, and for no other", () => {
    expect(headings.map((heading) => heading.slice("### ".length)).toSorted()).toEqual(CODES.toSorted());
  });
});
