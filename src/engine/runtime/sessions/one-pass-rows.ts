import type { EncodeBatch } from "../../core/encode-batch.ts";
import type { OnePassWeights } from "../../encoders/one-pass.ts";
import { applyInputNorm } from "./input-norm.ts";
import type { CenteredRows } from "./prepare-rows.ts";

/** A batch as the dense pass of a one-pass encoder takes it, and as its codes are measured. */
export interface OnePassRows extends CenteredRows {
  /** [count, d] normed, and centred where the encoder wants it. */
  readonly input: Float32Array;
}

/**
 * Input norm and centre. No scaling: the encoder's bias would have to be scaled with each row.
 *
 * At least two rows come out: the runtime multiplies a single row another way than many, and rounds differently.
 */
export function onePassRows(
  { rows, count }: EncodeBatch,
  { d, center, settings }: Pick<OnePassWeights, "d" | "center" | "settings">,
): OnePassRows {
  const padded = Math.max(count, 2);
  const normed = new Float32Array(padded * d);
  normed.set(rows);
  const norm =
    settings.inputNorm === "none" ? null : { shift: new Float32Array(count), scale: new Float32Array(count) };
  if (norm !== null) {
    for (let i = 0; i < count; i++) {
      const { shift, scale } = applyInputNorm(normed.subarray(i * d, (i + 1) * d), settings.inputNorm);
      norm.shift[i] = shift;
      norm.scale[i] = scale;
    }
  }
  const centered = center === null ? normed : new Float32Array(padded * d);
  const energy = new Float64Array(padded);
  for (let i = 0; i < padded; i++) {
    let squares = 0;
    for (let c = 0, at = i * d; c < d; c++, at++) {
      if (center !== null) centered[at] = normed[at]! - center[c]!;
      squares += centered[at]! * centered[at]!;
    }
    energy[i] = squares;
  }
  return {
    count: padded,
    scaled: centered,
    unscale: new Float64Array(padded).fill(1),
    energy,
    norm,
    input: settings.subtractCenter ? centered : normed,
  };
}
