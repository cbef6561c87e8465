import { expect, it } from "vitest";
import { bytes, coefficient, percent, seconds, whole } from "../../../web/src/parts/numbers.ts";

it("numbers are written for people", () => {
  expect([0, 1, 0.3689, 0.0012345, 1e-6].map(percent)).toEqual(["0 %", "100.0 %", "36.9 %", "0.12 %", "< 0.001 %"]);
  expect([0, 0.61931, -0.61931, 12.5, 0.00001, 123456].map(coefficient)).toEqual([
    "0",
    "0.619",
    "−0.619",
    "12.500",
    "1.0e−5",
    "1.2e+5",
  ]);
  expect([0, 1023, 1024, 6_400_000, 2 ** 40].map(bytes)).toEqual(["0 B", "1023 B", "1.0 KiB", "6.1 MiB", "1.0 TiB"]);
  expect([0.00025, 0.0042, 0.25, 3].map(seconds)).toEqual(["250 µs", "4.2 ms", "250 ms", "3.0 s"]);
  expect(whole(262_144)).toBe("262,144");
});
