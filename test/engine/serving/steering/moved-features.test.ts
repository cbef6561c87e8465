import { expect, it } from "vitest";
import { movedFeatures } from "../../../../src/engine/serving/steering/moved-features.ts";
import { codesOf } from "../../../support/codes.ts";

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
