/**
 * Prepares rows for a pursuit: x − b, and the scale. `width` is a multiple of 16; addresses are in bytes. Values beyond the
 * row's own length are zero, in x and in b.
 */
import { highHalf, largestLane } from "./argmax";

/** x ← x − b. @returns the largest magnitude of the result */
export function centre(x: usize, b: usize, width: u32): f32 {
  let even = f32x4.splat(0);
  let odd = even;
  for (const end = x + ((<usize>width) << 2); x < end; x += 32, b += 32) {
    const x0 = f32x4.sub(v128.load(x), v128.load(b));
    const x1 = f32x4.sub(v128.load(x, 16), v128.load(b, 16));
    v128.store(x, x0);
    v128.store(x, x1, 16);
    even = f32x4.pmax(even, f32x4.abs(x0));
    odd = f32x4.pmax(odd, f32x4.abs(x1));
  }
  return largestLane(f32x4.pmax(even, odd));
}

/** x ← x·factor, in float64 because the factor of a tiny row is beyond float32. @returns ||x||² */
export function rescale(x: usize, factor: f64, width: u32): f64 {
  const factors = f64x2.splat(factor);
  let s0 = f64x2.splat(0);
  let s1 = s0;
  for (const end = x + ((<usize>width) << 2); x < end; x += 16) {
    const four = v128.load(x);
    const low = f64x2.mul(f64x2.promote_low_f32x4(four), factors);
    const high = f64x2.mul(f64x2.promote_low_f32x4(highHalf(four)), factors);
    v128.store64_lane(x, f32x4.demote_f64x2_zero(low), 0);
    v128.store64_lane(x, f32x4.demote_f64x2_zero(high), 0, 8);
    s0 = f64x2.add(s0, f64x2.mul(low, low));
    s1 = f64x2.add(s1, f64x2.mul(high, high));
  }
  const sum = f64x2.add(s0, s1);
  return f64x2.extract_lane(sum, 0) + f64x2.extract_lane(sum, 1);
}
