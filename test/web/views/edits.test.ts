import { describe, expect, it } from "vitest";
import {
  type Edit,
  editsFromText,
  editsFromWire,
  editsToText,
  editWire,
  inOrder,
} from "../../../web/src/views/steer/edits.ts";

const EDITS: Edit[] = [
  { feature: 447, op: "remove", value: 1 },
  { feature: 890, op: "add", value: 0.6 },
  { feature: 3, op: "scale", value: -2e-7 },
  { feature: 4, op: "add_direction", value: 1.5 },
];

describe("edits", () => {
  it("are kept in an address", () => {
    expect(editsToText(EDITS)).toBe("447.remove~890.add.0.6~3.scale.-2e-7~4.add_direction.1.5");
    expect(editsFromText(editsToText(EDITS))).toEqual(EDITS);
  });

  it("that an address spoils are left out", () => {
    expect(editsFromText("")).toEqual([]);
    expect(editsFromText("1.explode~x.add.1~2.add.--1~3.set.2")).toEqual([{ feature: 3, op: "set", value: 2 }]);
  });

  it("are written as the request has them", () => {
    expect(EDITS.map(editWire)).toEqual([
      { feature: 447, op: "remove" },
      { feature: 890, op: "add", value: 0.6 },
      { feature: 3, op: "scale", value: -2e-7 },
      { feature: 4, op: "add_direction", strength: 1.5 },
    ]);
  });

  it("are read from a set as they were written, and not where there is no form for one", () => {
    expect(editsFromWire(EDITS.map(editWire))).toEqual(EDITS);
    const refusals = [
      [{ op: "clamp", feature: 3, max: 1 }, "edit 2 is clamp with max"],
      [{ op: "add_direction", vector: [1, 0], strength: 2 }, "edit 2 is add_direction along a vector with vector"],
      [{ op: "add_direction", feature: 1, strength: 2, relative: true }, "edit 2 is add_direction with relative"],
      [{ op: "set", feature: 1, value: 2, when: { min: 1 } }, "edit 2 is set with when"],
      [{ op: "project_out", feature: 1, strength: 0.5 }, "edit 2 is project_out with strength"],
    ] as const;
    for (const [edit, complaint] of refusals)
      expect(editsFromWire([{ op: "remove", feature: 1 }, edit])).toBe(
        `${complaint}, and this view has no form for it`,
      );
  });
});

it("features that moved come in the order of interest", () => {
  const moved = (feature: number, before: number, after: number, asked = false) => ({ feature, before, after, asked });
  const all = [moved(1, 0, 0.1), moved(2, 1, 0), moved(3, 0, 0, true), moved(4, 0, 0.5, true)];
  expect(inOrder(all).map(({ feature }) => feature)).toEqual([4, 3, 2, 1]);
});
