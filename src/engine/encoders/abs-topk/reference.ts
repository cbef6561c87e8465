import { type Reference, selectionMargins } from "../reference.ts";
import type { AbsTopkSettings } from "./spec.ts";

/** Undecided at the limit of the selection. */
export const absTopkReference: Reference<AbsTopkSettings> = ({ h, norms, weights: { settings } }) => {
  const { k, scaleByDecoderNorm = false } = settings;
  const scale = scaleByDecoderNorm === false ? h.map(() => 1) : norms;
  const { selected, margins } = selectionMargins(
    h.map((value, j) => Math.abs(value * scale[j]!)),
    k,
  );
  const values = scaleByDecoderNorm === true ? h.map((value, j) => value * scale[j]!) : h;
  return { values: values.map((value, j) => (selected[j] ? value : 0)), margins, scale };
};
