/** Shared parts of the kernels' arg-max loops. */

/** Bytes of correlations that share one test for a new maximum. */
export const BLOCK: usize = 256;

/** Below every score. */
export const LEAST: f32 = -Infinity as f32;

// @ts-ignore: decorator
@inline
export function score(c: v128, magnitude: bool): v128 {
  return magnitude ? f32x4.abs(c) : c;
}

// @ts-ignore: decorator
@inline
export function largestLane(x: v128): f32 {
  return max(
    max(f32x4.extract_lane(x, 0), f32x4.extract_lane(x, 1)),
    max(f32x4.extract_lane(x, 2), f32x4.extract_lane(x, 3)),
  );
}

/** Of unsigned lanes. */
// @ts-ignore: decorator
@inline
export function lowestLane(x: v128): u32 {
  return min(
    min(<u32>i32x4.extract_lane(x, 0), <u32>i32x4.extract_lane(x, 1)),
    min(<u32>i32x4.extract_lane(x, 2), <u32>i32x4.extract_lane(x, 3)),
  );
}

// @ts-ignore: decorator
@inline
export function highHalf(four: v128): v128 {
  return i64x2.shuffle(four, four, 1, 1);
}
