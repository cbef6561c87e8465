import { makesItsRow } from "../../core/dictionary.ts";
import type { EncodeBatch } from "../../core/encode-batch.ts";
import type { OnePassWeights } from "../../encoders/one-pass.ts";
import { applyInputNorm } from "./input-norm.ts";

/** A batch as the dense pass of a one-pass encoder takes it, and as its codes are measured. */
export interface OnePassRows {
  /** Rows of `input`: the batch's, and one of zeros where that is a single one. */
  readonly count: number;
  /** [count, dIn] normed, and centred where the encoder wants it. */
  readonly input: Float32Array;
  /** [batch, d] what the code is to make, without what decode adds to every code; null where that is not known. */
  readonly target: Float32Array | null;
  /** Under an input norm that decode undoes: x = y · scale + shift. */
  readonly norm: { readonly shift: Float32Array; readonly scale: Float32Array } | null;
}

/**
 * Input norm and centre. No scaling: the encoder's bias would have to be scaled with each row. A transcoder's target is
 * given with the request, and its input norm is not undone.
 * @param constant [count, d] what decode adds to a transcoder's codes; not needed for an autoencoder
 *
 * At least two rows come out: the runtime multiplies a single row another way than many, and rounds differently.
 */
export function onePassRows(
  { rows, count, targets }: EncodeBatch,
  weights: OnePassWeights,
  constant: Float32Array | null,
): OnePassRows {
  const { dIn, center, settings, role } = weights;
  const padded = Math.max(count, 2);
  const normed = new Float32Array(padded * dIn);
  normed.set(rows);
  const norm =
    settings.inputNorm === "none" ? null : { shift: new Float32Array(count), scale: new Float32Array(count) };
  if (norm !== null) {
    for (let i = 0; i < count; i++) {
      const { shift, scale } = applyInputNorm(normed.subarray(i * dIn, (i + 1) * dIn), settings.inputNorm);
      norm.shift[i] = shift;
      norm.scale[i] = scale;
    }
  }
  if (!makesItsRow(role)) {
    const target = targets && constant && targets.map((value, at) => value - constant[at]!);
    return { count: padded, input: normed, target: target ?? null, norm: null };
  }
  const centered = center === null ? normed : centeredRows(normed, center);
  return {
    count: padded,
    input: settings.subtractCenter ? centered : normed,
    target: centered.subarray(0, count * dIn),
    norm,
  };
}

/** x − b of every row, without a callback for each number. */
function centeredRows(rows: Float32Array, center: Float32Array): Float32Array {
  const centered = new Float32Array(rows.length);
  for (let from = 0; from < rows.length; from += center.length) {
    for (let c = 0; c < center.length; c++) centered[from + c] = rows[from + c]! - center[c]!;
  }
  return centered;
}
