import { describe, expect, it } from "vitest";
import { readEncoder } from "../../src/codecs/read-encoder.ts";

describe("readEncoder", () => {
  it.each([
    [undefined, undefined],
    ["own", undefined],
    ["matching_pursuit", { kind: "matching_pursuit" }],
    ["orthogonal", { kind: "orthogonal" }],
    [{ kind: "matching_pursuit" }, { kind: "matching_pursuit" }],
    [
      { kind: "matching_pursuit", score: "signed", reselect: "stop" },
      { kind: "matching_pursuit", score: "signed", reselect: "stop" },
    ],
    [
      { kind: "orthogonal", score: "absolute" },
      { kind: "orthogonal", score: "absolute" },
    ],
    // The only reselect that an orthogonal pursuit has.
    [{ kind: "orthogonal", reselect: "forbid" }, { kind: "orthogonal" }],
    ['{"kind": "orthogonal", "score": "relu"}', { kind: "orthogonal", score: "relu" }],
  ])("reads %j", (given, encoder) => {
    expect(readEncoder(given)).toEqual(encoder);
  });

  it.each([
    ["omp", 'encoder must be own, matching_pursuit, orthogonal or an object; it is "omp".'],
    [1, "encoder must be own, matching_pursuit, orthogonal or an object; it is 1."],
    [null, "encoder must be own, matching_pursuit, orthogonal or an object; it is null."],
    [[], "encoder must be own, matching_pursuit, orthogonal or an object; it is a list."],
    [{}, "encoder.kind must be matching_pursuit, orthogonal; it is missing."],
    [{ kind: "own" }, 'encoder.kind must be matching_pursuit, orthogonal; it is "own".'],
    [{ kind: "matching_pursuit", score: "best" }, 'encoder.score must be relu or signed or absolute; it is "best".'],
    [{ kind: "matching_pursuit", reselect: true }, "encoder.reselect must be stop or add or forbid; it is true."],
    [{ kind: "orthogonal", score: "signed" }, 'encoder.score of orthogonal must be absolute or relu; it is "signed".'],
    [{ kind: "orthogonal", reselect: "add" }, 'encoder.reselect of orthogonal must be forbid; it is "add".'],
    [{ kind: "orthogonal", steps: 3 }, 'encoder has no field "steps"; it takes kind, score, reselect.'],
    ["{kind: 1}", "encoder begins with { and is not valid JSON."],
  ])("refuses %j", (given, message) => {
    expect(() => readEncoder(given)).toThrow(expect.objectContaining({ code: "PURSUIT_INVALID_FIELD", message }));
  });

  it("names the field as it is told to", () => {
    expect(() => readEncoder({ kind: "x" }, "parameters.encoder")).toThrow(/^parameters\.encoder\.kind must be/);
  });
});
