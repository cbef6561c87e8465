import { describe, expect, it } from "vitest";
import { cardBytes, gramBytes, rooflineUs } from "../../../tools/bench/roofline.ts";

describe("the roofline", () => {
  it("reads one Gram row for every step after the first", () => {
    expect(gramBytes(0, 4096)).toBe(0);
    expect(gramBytes(1, 4096)).toBe(0);
    expect(gramBytes(16, 4096)).toBe(15 * 4096 * 4);
  });

  it("adds the time of those bytes to the dense pass, in microseconds", () => {
    // 31 rows of 32 KiB at 1 GB/s: 1015.8 us.
    const bounds = { denseUs: 50, steps: 32, m: 8192, bytesPerSecond: 1e9 };
    expect(rooflineUs(bounds)).toBeCloseTo(50 + 1015.808, 6);
    expect(rooflineUs({ ...bounds, bytesPerSecond: 2e9 })).toBeCloseTo(50 + 507.904, 6);
  });

  it("on a card shares the atoms over the batch, and counts correlations read and written", () => {
    expect(cardBytes({ d: 2, m: 64, steps: 1, batch: 4 })).toBe((4 * 64 * 2) / 4 + 4 * 64);
    expect(cardBytes({ d: 2, m: 64, steps: 3, batch: 4 })).toBe((4 * 64 * 2) / 4 + 4 * 64 + 2 * 3 * 4 * 64);
  });
});
