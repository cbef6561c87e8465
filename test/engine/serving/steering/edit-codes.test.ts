import { describe, expect, it } from "vitest";
import type { CodeEdit } from "../../../../src/engine/core/edits.ts";
import {
  editCodes,
  editCoefficient,
  movedFeatures,
  rowMask,
} from "../../../../src/engine/serving/steering/edit-codes.ts";
import { codesOf } from "../../../support/codes.ts";

const codes = codesOf(
  [
    {
      entries: [
        [1, 0.5],
        [4, 2],
      ],
    },
    { entries: [[2, -1]] },
    { entries: [] },
  ],
  8,
);
const edit = (edits: readonly CodeEdit[], only?: readonly number[]) =>
  editCodes(
    codes,
    edits,
    rowMask(edits, only, codes.count),
    [...edits.keys()].map((k) => `edits[${k}]`),
  );

/** The delta as an object a row. */
const deltaOf = (edits: readonly CodeEdit[], only?: readonly number[]): Record<number, number>[] => {
  const { indptr, indices, values } = edit(edits, only).delta;
  return Array.from({ length: codes.count }, (_, i) =>
    Object.fromEntries(
      Array.from(indices.subarray(indptr[i], indptr[i + 1]), (index, k) => [index, values[indptr[i]! + k]!]),
    ),
  );
};

describe("one edit of a coefficient", () => {
  it.each<[string, number, Omit<CodeEdit, "feature">, number]>([
    ["nudge adds", 0.5, { op: "add", value: 0.25 }, 0.75],
    ["pin sets", 0.5, { op: "set", value: -2 }, -2],
    ["mul multiplies", 0.5, { op: "scale", value: 3 }, 1.5],
    ["full masking removes", 0.5, { op: "remove" }, 0],
    ["partial suppression keeps a share", 0.5, { op: "scale", value: 0.25 }, 0.125],
    ["clamp from above", 0.5, { op: "clamp", max: 0.25 }, 0.25],
    ["clamp from below", -0.5, { op: "clamp", min: 0 }, 0],
    ["clamp to a value", 0.5, { op: "clamp", value: 2 }, 2],
    ["clamp within bounds", 0.5, { op: "clamp", min: 0, max: 1 }, 0.5],
    ["a condition that holds, at its bound", 0.5, { op: "remove", when: { min: 0.5, max: 1 } }, 0],
    ["a condition that does not", 0.5, { op: "remove", when: { min: 0.6 } }, 0.5],
    ["a condition from above", 0.5, { op: "remove", when: { max: 0.4 } }, 0.5],
  ])("%s", (_, z, { op, ...rest }, expected) => {
    expect(editCoefficient(z, { feature: 0, op, ...rest })).toBe(expected);
  });
});

describe("editCodes", () => {
  it("takes an absent atom for 0, and leaves no zero in the delta", () => {
    expect(deltaOf([{ feature: 4, op: "remove" }])).toEqual([{ 4: -2 }, {}, {}]);
    expect(deltaOf([{ feature: 4, op: "add", value: 1 }])).toEqual([{ 4: 1 }, { 4: 1 }, { 4: 1 }]);
    expect(deltaOf([{ feature: 2, op: "scale", value: -1 }])).toEqual([{}, { 2: 2 }, {}]);
  });

  it("makes edits in order, each upon what the last one left", () => {
    const edits: CodeEdit[] = [
      { feature: 1, op: "set", value: 3 },
      { feature: 1, op: "scale", value: 2 },
      { feature: 0, op: "add", value: 1 },
      { feature: 1, op: "clamp", max: 5 },
      { feature: 1, op: "add", value: 1, when: { max: 4 } },
    ];
    expect(deltaOf(edits)).toEqual([
      { 0: 1, 1: 4.5 },
      { 0: 1, 1: 5 },
      { 0: 1, 1: 5 },
    ]);
    const { before, after } = edit(edits);
    expect([...before.subarray(0, 5)]).toEqual([0.5, 3, 0, 6, 5]);
    expect([...after.subarray(0, 5)]).toEqual([3, 6, 1, 5, 5]);
  });

  it("comes back to nothing when what was added is taken away", () => {
    expect(
      deltaOf([
        { feature: 5, op: "add", value: 0.3 },
        { feature: 5, op: "add", value: -0.3 },
      ]),
    ).toEqual([{}, {}, {}]);
  });

  it("keeps to an edit's rows, else to the request's, and says NaN of the others", () => {
    const edits: CodeEdit[] = [
      { feature: 6, op: "set", value: 1, rows: [2] },
      { feature: 7, op: "set", value: 1 },
    ];
    expect(deltaOf(edits, [0])).toEqual([{ 7: 1 }, {}, { 6: 1 }]);
    expect([...edit(edits, [0]).after]).toEqual([NaN, 1, NaN, NaN, 1, NaN]);
  });

  it("refuses a coefficient beyond float32, with the edit and the row", () => {
    const edits: CodeEdit[] = [
      { feature: 4, op: "set", value: 1e30 },
      { feature: 4, op: "scale", value: 1e30 },
    ];
    expect(() => edit(edits, [1])).toThrow(/^edits\[1\] takes feature 4 of row 1 beyond what float32 holds/);
  });

  it("hands the scale of an input norm on", () => {
    const normed = codesOf([{ entries: [[0, 1]], norm: { shift: 5, scale: 2 } }], 8);
    const edits: CodeEdit[] = [{ feature: 0, op: "remove" }];
    expect(editCodes(normed, edits, rowMask(edits, undefined, 1), ["edits[0]"]).delta.scale).toEqual(
      Float32Array.of(2),
    );
  });
});

it("names what came, went and changed, and not what rounding did", () => {
  const before = codesOf(
    [
      {
        entries: [
          [1, 1],
          [3, 2],
          [5, 0.5],
        ],
      },
      { entries: [] },
      { entries: [[7, 1]] },
    ],
    8,
  );
  const after = codesOf(
    [
      {
        entries: [
          [0, 0.25],
          [3, 2.000_01],
          [5, 0.75],
        ],
      },
      { entries: [[2, 1]] },
      { entries: [] },
    ],
    8,
  );
  expect(movedFeatures(before, after)).toEqual({
    indptr: Uint32Array.of(0, 3, 4, 5),
    indices: Uint32Array.of(0, 1, 5, 2, 7),
    before: Float32Array.of(0, 1, 0.5, 0, 1),
    after: Float32Array.of(0.25, 0, 0.75, 1, 0),
  });
});
