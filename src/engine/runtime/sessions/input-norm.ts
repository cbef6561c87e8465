import { type InputNorm, LAYER_NORM_EPSILON } from "../../core/dictionary.ts";

/** Norms a row in place; x = y · scale + shift leads back. */
export function applyInputNorm(row: Float32Array, norm: InputNorm): { shift: number; scale: number } {
  switch (norm) {
    case "none":
      return { shift: 0, scale: 1 };
    case "layer_norm":
      return layerNorm(row);
    case "constant_norm_rescale":
      return constantNormRescale(row);
  }
}

/** y = (x − mean) / (std + ε), the standard deviation with n − 1, in place. */
function layerNorm(row: Float32Array): { shift: number; scale: number } {
  const d = row.length;
  let sum = 0;
  for (const value of row) sum += value;
  const mean = sum / d;
  let squares = 0;
  for (const value of row) squares += (value - mean) ** 2;
  // As the reference, decode multiplies by std without ε. A row of one number has no deviation.
  const std = d > 1 ? Math.sqrt(squares / (d - 1)) : 0;
  for (let k = 0; k < d; k++) row[k] = (row[k]! - mean) / (std + LAYER_NORM_EPSILON);
  return { shift: mean, scale: std };
}

/** y = x · √d / ||x||, in place; a zero row stays as it is. */
function constantNormRescale(row: Float32Array): { shift: number; scale: number } {
  let squares = 0;
  for (const value of row) squares += value * value;
  if (squares === 0) return { shift: 0, scale: 1 };
  const factor = Math.sqrt(row.length) / Math.sqrt(squares);
  for (let k = 0; k < row.length; k++) row[k]! *= factor;
  return { shift: 0, scale: 1 / factor };
}
