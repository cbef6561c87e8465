import { describe, expect, it } from "vitest";
import { Calibration } from "../../../src/engine/scheduler/wait-estimator.ts";

/** A calibration that has seen so many batches of 10 predicted milliseconds. */
function after(batches: number, milliseconds: number, calibration = new Calibration()): Calibration {
  for (let i = 0; i < batches; i++) calibration.learn(10, milliseconds);
  return calibration;
}

describe("Calibration", () => {
  it("takes predictions as they are until a batch has run, and then goes by that", () => {
    expect(new Calibration().of(7)).toBe(7);
    expect(after(1, 20).of(7)).toBe(14);
  });

  it("is hardly moved by one batch that took three times as long", () => {
    const calibration = after(500, 10);
    calibration.learn(10, 30);
    expect(calibration.of(100)).toBeGreaterThan(100);
    expect(calibration.of(100)).toBeLessThan(103);
  });

  it("follows a machine that has become half as fast within some seconds", () => {
    expect(after(150, 20, after(500, 10)).of(100)).toBeGreaterThan(190);
  });

  it("counts what is noticed late together: a batch that seems to have taken nothing, and the one before it", () => {
    const calibration = new Calibration();
    for (let i = 0; i < 200; i++) calibration.learn(10, i % 2 === 0 ? 20 : 0);
    expect(calibration.of(100)).toBeGreaterThan(98);
    expect(calibration.of(100)).toBeLessThan(102);
  });
});
