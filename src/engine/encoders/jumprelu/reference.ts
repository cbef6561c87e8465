import type { Reference } from "../reference.ts";
import type { JumpReluSettings } from "./spec.ts";

/** Undecided at θ_j, and at 0 where h must be positive. */
export const jumpReluReference: Reference<JumpReluSettings> = ({ h, weights: { settings, tensors } }) => {
  const threshold = tensors["threshold"]!;
  const { comparison, rectify = true } = settings;
  const passes = (value: number, j: number): boolean =>
    (comparison === "strict" ? value > threshold[j]! : value >= threshold[j]!) && (value > 0 || !rectify);
  return {
    values: h.map((value, j) => (passes(value, j) ? value : 0)),
    margins: h.map((value, j) => Math.min(Math.abs(value - threshold[j]!), rectify ? Math.abs(value) : Infinity)),
  };
};
