import { describe, expect, it } from "vitest";
import { type Edit, editsFromText, editsToText, editWire, inOrder } from "../../../web/src/views/steer/edits.ts";

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
});

it("features that moved come in the order of interest", () => {
  const moved = (feature: number, before: number, after: number, asked = false) => ({ feature, before, after, asked });
  const all = [moved(1, 0, 0.1), moved(2, 1, 0), moved(3, 0, 0, true), moved(4, 0, 0.5, true)];
  expect(inOrder(all).map(({ feature }) => feature)).toEqual([4, 3, 2, 1]);
});
