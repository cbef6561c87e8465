import { describe, expect, it } from "vitest";
import { changed, linkTo, placeOf } from "../../../web/src/app/location.ts";

describe("an address", () => {
  it.each([
    ["", "encode", {}],
    ["#", "encode", {}],
    ["#/", "encode", {}],
    ["#/encode?d=a&x=e3", "encode", { d: "a", x: "e3" }],
    ["#/feature/?d=a.b&f=17", "feature", { d: "a.b", f: "17" }],
    ["#/features?q=cut%20of%20meat", "features", { q: "cut of meat" }],
  ])("%j is a view and its state", (hash, view, params) => {
    const place = placeOf(hash);
    expect([place.view, Object.fromEntries(place.params)]).toEqual([view, params]);
  });

  it("is what its link was made of, without empty parameters", () => {
    const params = { d: "a/b&c", q: "größer als 5 %", f: 0, none: null, empty: "", absent: undefined };
    const { view, params: read } = placeOf(linkTo("features", params));
    expect([view, Object.fromEntries(read)]).toEqual(["features", { d: "a/b&c", q: "größer als 5 %", f: "0" }]);
  });

  it("changes by single parameters", () => {
    const before = new URLSearchParams({ d: "a", k: "3" });
    expect(changed(before, { k: null, x: "e1" }).toString()).toBe("d=a&x=e1");
    expect(before.toString()).toBe("d=a&k=3");
  });
});
