import { type Reference, selectionMargins } from "../reference.ts";
import type { TopkSettings } from "./spec.ts";

/** Undecided at the limit of the selection, and at 0 where negative scores are dropped. */
export const topkReference: Reference<TopkSettings> = ({ h, norms, weights: { settings } }) => {
  const { k, rectify = true, scaleByDecoderNorm = false } = settings;
  const scale = scaleByDecoderNorm === false ? h.map(() => 1) : norms;
  const scores = h.map((value, j) => value * scale[j]!);
  const { selected, margins } = selectionMargins(scores, k);
  const values = scaleByDecoderNorm === "select" ? h : scores;
  return {
    values: values.map((value, j) => (selected[j] ? (rectify ? Math.max(value, 0) : value) : 0)),
    margins: rectify ? margins.map((margin, j) => Math.min(margin, Math.abs(scores[j]!))) : margins,
    scale,
  };
};
