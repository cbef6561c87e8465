import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { MAX_EDITS, readEdits } from "../../../src/engine/core/edits.ts";
import { EngineError } from "../../../src/engine/core/errors.ts";

const add = { feature: 1, op: "add", value: 2 };

describe("readEdits", () => {
  it("gives every op back as it came", () => {
    const edits = [
      add,
      { feature: 1, op: "set", value: -1.5, when: { min: 0.1, max: 2 }, rows: [2, 0] },
      { feature: 1, op: "scale", value: 0 },
      { feature: 0, op: "remove", when: { min: 0 } },
      { feature: 3, op: "clamp", max: 1 },
      { feature: 3, op: "clamp", min: 0, max: 0 },
      { feature: 3, op: "clamp", value: 0.5 },
      { feature: 3, op: "add_direction", strength: 0.5, relative: true },
      { vector: [0, 1], op: "add_direction", strength: -1 },
      { vector: [0, 1], op: "project_out" },
      { feature: 2, op: "project_out", strength: 0.5 },
      { feature: 2, op: "project_cap", min: -1, max: 1, rows: [] },
    ];
    expect(readEdits(edits)).toEqual(edits);
  });

  it.each([
    ["no list", {}, /^edits must be a list of edits; it is an object/],
    ["a null", [null], /^edits\[0\] must be an object.*it is null/],
    ["an unknown op", [add, { feature: 1, op: "nudge" }], /^edits\[1\]\.op must be one of add, .*it is "nudge"/],
    ["an op of the prototype's", [{ feature: 1, op: "constructor" }], /^edits\[0\]\.op must be one of/],
    ["no op", [{ feature: 1 }], /^edits\[0\]\.op must be one of .*it is missing/],
    ["no value", [add, add, { feature: 1, op: "set" }], /^edits\[2\]\.value is missing; set needs it/],
    ["no feature", [{ op: "remove" }], /^edits\[0\]\.feature is missing/],
    ["a value of text", [{ ...add, value: "2" }], /^edits\[0\]\.value must be a finite number.*it is "2"/],
    ["NaN", [{ ...add, value: NaN }], /^edits\[0\]\.value must be a finite number.*it is NaN/],
    ["more than float32 holds", [{ ...add, value: 1e39 }], /^edits\[0\]\.value .*1e\+39/],
    ["a negative feature", [{ ...add, feature: -1 }], /^edits\[0\]\.feature must be the number of a feature/],
    ["half a feature", [{ ...add, feature: 0.5 }], /^edits\[0\]\.feature/],
    [
      "another op's field",
      [{ ...add, strength: 1 }],
      /^edits\[0\]: add has no field "strength"; it takes feature, value/,
    ],
    ["relative where there is none", [{ feature: 1, op: "project_out", relative: true }], /no field "relative"/],
    [
      "a relative that is no boolean",
      [{ feature: 1, op: "add_direction", strength: 1, relative: 1 }],
      /\.relative must/,
    ],
    ["a clamp without bounds", [{ feature: 1, op: "clamp" }], /^edits\[0\] needs min, max or both/],
    ["a clamp of two kinds", [{ feature: 1, op: "clamp", value: 1, max: 2 }], /^edits\[0\]\.value stands for both/],
    ["crossed bounds", [{ feature: 1, op: "clamp", min: 2, max: 1 }], /^edits\[0\]\.min is 2, over its max of 1/],
    ["a cap without bounds", [{ feature: 1, op: "project_cap" }], /^edits\[0\] needs min, max or both/],
    ["an empty condition", [{ ...add, when: {} }], /^edits\[0\]\.when needs min, max or both/],
    ["an odd condition", [{ ...add, when: { over: 1 } }], /^edits\[0\]\.when must be/],
    ["a condition that is no object", [{ ...add, when: [1] }], /^edits\[0\]\.when must be/],
    ["a condition of text", [{ ...add, when: { min: "1" } }], /^edits\[0\]\.when\.min must be/],
    ["neither feature nor vector", [{ op: "project_out" }], /^edits\[0\] must name its direction/],
    ["feature and vector", [{ op: "project_out", feature: 1, vector: [1] }], /^edits\[0\] must name its direction/],
    ["a vector with a hole", [{ op: "project_out", vector: [1, null] }], /^edits\[0\]\.vector\[1\] must be.*null/],
    ["a zero vector", [{ op: "project_out", vector: [0, 1e-60] }], /^edits\[0\]\.vector is zero in float32/],
    ["no vector", [{ op: "project_out", vector: "AAAA" }], /^edits\[0\]\.vector must be a list/],
    ["rows that are none", [{ ...add, rows: 1 }], /^edits\[0\]\.rows must be a list/],
    ["a negative row", [{ ...add, rows: [0, -1] }], /^edits\[0\]\.rows\[1\] must be a row's number/],
    ["a row twice", [{ ...add, rows: [3, 3] }], /^edits\[0\]\.rows\[1\] names row 3 a second time/],
    ["10,000 edits", Array.from({ length: 10_000 }, () => add), /^edits\[256\] is one too many: 10000 edits/],
  ])("refuses %s, naming where", (_, edits, message) => {
    expect(() => readEdits(edits)).toThrow(
      expect.objectContaining({ code: "PURSUIT_INVALID_EDIT", message: expect.stringMatching(message) }),
    );
  });

  it("takes as many as are allowed", () => {
    expect(readEdits(Array.from({ length: MAX_EDITS }, () => add))).toHaveLength(MAX_EDITS);
  });

  it("either gives what it was given or refuses it with an index, whatever it is given", () => {
    const field = fc.oneof(fc.jsonValue(), fc.double(), fc.integer({ min: -2, max: 9 }), fc.constant(undefined));
    const edit = fc.record(
      {
        op: fc.constantFrom(
          "add",
          "set",
          "scale",
          "remove",
          "clamp",
          "add_direction",
          "project_out",
          "project_cap",
          "x",
        ),
        feature: fc.oneof(fc.integer({ min: 0, max: 9 }), field),
        value: field,
        min: field,
        max: field,
        when: field,
        strength: field,
        vector: fc.oneof(fc.array(fc.double()), field),
        rows: field,
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(fc.array(edit, { minLength: 1, maxLength: 4 }), (edits) => {
        try {
          expect(readEdits(edits)).toBe(edits);
        } catch (error) {
          if (!(error instanceof EngineError)) throw error;
          expect(error.message).toMatch(/^edits\[[0-3]\]/);
        }
      }),
    );
  });
});
