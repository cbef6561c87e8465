import { expect, it } from "vitest";
import { fitted } from "../../../web/src/views/map/scatter.ts";

it("points are moved and scaled into the square, both axes alike", () => {
  const points = fitted(Float32Array.of(10, 100, 30, 110, 20, 105));
  expect([...points]).toEqual([-1, -0.5, 1, 0.5, 0, 0]);
});

it("a few far points do not shrink the others", () => {
  const cloud = Float32Array.from({ length: 20_000 }, (_, i) => Math.sin(i * 12.9898));
  cloud.set([1e6, -1e6]);
  expect(Math.max(...fitted(cloud).subarray(2))).toBeGreaterThan(0.9);
});

it("points that are all one stay finite", () => {
  expect([...fitted(Float32Array.of(5, 5, 5, 5))]).toEqual([0, 0, 0, 0]);
});
