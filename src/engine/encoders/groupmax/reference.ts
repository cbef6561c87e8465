import { type Reference, selectionMargins } from "../reference.ts";
import type { GroupmaxSettings } from "./spec.ts";

/** Undecided against the best other score of the group, and at 0. */
export const groupmaxReference: Reference<GroupmaxSettings> = ({ h, weights: { m, settings } }) => {
  const size = m / settings.k;
  const values = new Float64Array(m);
  const margins = new Float64Array(m);
  for (let from = 0; from < m; from += size) {
    const group = h.subarray(from, from + size);
    const limits = selectionMargins(group, 1);
    for (const [i, value] of group.entries()) {
      if (limits.selected[i]) values[from + i] = Math.max(value, 0);
      margins[from + i] = Math.min(limits.margins[i]!, Math.abs(value));
    }
  }
  return { values, margins };
};
