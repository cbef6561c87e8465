import { describe, expect, it } from "vitest";
import { isKnown, preconditionOf } from "../../../src/routes/v1/entity-tags.ts";

describe("preconditionOf", () => {
  it.each([
    [{}, "v", true],
    [{}, null, true],
    [{ "if-match": '"v"' }, "v", true],
    [{ "if-match": '"a", "v"' }, "v", true],
    [{ "if-match": '"a"' }, "v", false],
    [{ "if-match": '"a"' }, null, false],
    [{ "if-match": 'W/"v"' }, "v", false],
    [{ "if-match": "v" }, "v", false],
    [{ "if-match": "*" }, "v", true],
    [{ "if-match": "*" }, null, false],
    [{ "if-none-match": "*" }, null, true],
    [{ "if-none-match": "*" }, "v", false],
    [{ "if-none-match": '"a", W/"v"' }, "v", false],
    [{ "if-none-match": '"a"' }, "v", true],
    [{ "if-match": '"v"', "if-none-match": '"v"' }, "v", false],
  ])("%j of version %j: %s", (headers, version, expected) => {
    expect(preconditionOf(headers)(version)).toBe(expected);
  });
});

it("knows a version that the client has", () => {
  expect(isKnown({ "if-none-match": 'W/"v"' }, "v")).toBe(true);
  expect(isKnown({ "if-none-match": '"w"' }, "v")).toBe(false);
  expect(isKnown({}, "v")).toBe(false);
});
