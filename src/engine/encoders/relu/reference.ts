import type { Reference } from "../reference.ts";

/** Undecided at h = 0. */
export const reluReference: Reference = ({ h }) => ({
  values: h.map((value) => Math.max(value, 0)),
  margins: h.map(Math.abs),
});
