/** Float64 rows, for residuals computed from x and z. `width` is a multiple of 4; addresses are in bytes. */
import { highHalf } from "./argmax";

/** row64 ← x, float32 to float64, over `width` values, a multiple of 4. */
export function toF64(row64: usize, x: usize, width: u32): void {
  for (const end = x + ((<usize>width) << 2); x < end; x += 16, row64 += 32) {
    const four = v128.load(x);
    v128.store(row64, f64x2.promote_low_f32x4(four));
    v128.store(row64, f64x2.promote_low_f32x4(highHalf(four)), 16);
  }
}

/** r ← row64, rounded to float32. */
export function toF32(r: usize, row64: usize, width: u32): void {
  for (const end = r + ((<usize>width) << 2); r < end; r += 8, row64 += 16) {
    v128.store64_lane(r, f32x4.demote_f64x2_zero(v128.load(row64)), 0);
  }
}

/** row64 ← row64 − z·atom. */
export function subtractF64(row64: usize, atom: usize, z: f64, width: u32): void {
  const factor = f64x2.splat(z);
  for (const end = atom + ((<usize>width) << 2); atom < end; atom += 16, row64 += 32) {
    const four = v128.load(atom);
    v128.store(row64, lessLow(v128.load(row64), factor, four));
    v128.store(row64, lessHigh(v128.load(row64, 16), factor, four), 16);
  }
}

/** Subtracts four atoms, one after the other, with one load and store of the row. */
export function subtractFourF64(
  row64: usize, atom0: usize, z0: f64, atom1: usize, z1: f64, atom2: usize, z2: f64, atom3: usize, z3: f64, width: u32,
): void {
  const f0 = f64x2.splat(z0);
  const f1 = f64x2.splat(z1);
  const f2 = f64x2.splat(z2);
  const f3 = f64x2.splat(z3);
  for (let at: usize = 0, end = (<usize>width) << 2; at < end; at += 16, row64 += 32) {
    const a0 = v128.load(atom0 + at);
    const a1 = v128.load(atom1 + at);
    const a2 = v128.load(atom2 + at);
    const a3 = v128.load(atom3 + at);
    v128.store(row64, lessLow(lessLow(lessLow(lessLow(v128.load(row64), f0, a0), f1, a1), f2, a2), f3, a3));
    const high = v128.load(row64, 16);
    v128.store(row64, lessHigh(lessHigh(lessHigh(lessHigh(high, f0, a0), f1, a1), f2, a2), f3, a3), 16);
  }
}

/** ||row64||² */
export function energyF64(row64: usize, width: u32): f64 {
  let s0 = f64x2.splat(0);
  let s1 = s0;
  for (const end = row64 + ((<usize>width) << 3); row64 < end; row64 += 32) {
    const w0 = v128.load(row64);
    const w1 = v128.load(row64, 16);
    s0 = f64x2.add(s0, f64x2.mul(w0, w0));
    s1 = f64x2.add(s1, f64x2.mul(w1, w1));
  }
  const sum = f64x2.add(s0, s1);
  return f64x2.extract_lane(sum, 0) + f64x2.extract_lane(sum, 1);
}

// @ts-ignore: decorator
@inline
function lessLow(pair: v128, factor: v128, four: v128): v128 {
  return f64x2.sub(pair, f64x2.mul(factor, f64x2.promote_low_f32x4(four)));
}

// @ts-ignore: decorator
@inline
function lessHigh(pair: v128, factor: v128, four: v128): v128 {
  return f64x2.sub(pair, f64x2.mul(factor, f64x2.promote_low_f32x4(highHalf(four))));
}
