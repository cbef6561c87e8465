/**
 * Inner loops of orthogonal matching pursuit. Memory and arg-max results are as in pursuit.ts.
 *
 * A term is {uint32 address of a Gram row, float32 factor}, eight bytes.
 */
import { BLOCK, highHalf, largestLane, LEAST, score } from "./argmax";

const HALF: usize = BLOCK / 2;

/** Writes (c − Σ factor·row)·scale for half a block to `to`. @returns the largest score of each lane */
// @ts-ignore: decorator
@inline
function explainHalf(
  c: usize, terms: usize, end: usize, offset: usize, scales: usize, to: usize, magnitude: bool,
): v128 {
  let c0 = v128.load(c);
  let c1 = v128.load(c, 16);
  let c2 = v128.load(c, 32);
  let c3 = v128.load(c, 48);
  let c4 = v128.load(c, 64);
  let c5 = v128.load(c, 80);
  let c6 = v128.load(c, 96);
  let c7 = v128.load(c, 112);
  for (; terms < end; terms += 8) {
    const g = <usize>load<u32>(terms) + offset;
    const v = v128.load32_splat(terms, 4);
    c0 = f32x4.sub(c0, f32x4.mul(v, v128.load(g)));
    c1 = f32x4.sub(c1, f32x4.mul(v, v128.load(g, 16)));
    c2 = f32x4.sub(c2, f32x4.mul(v, v128.load(g, 32)));
    c3 = f32x4.sub(c3, f32x4.mul(v, v128.load(g, 48)));
    c4 = f32x4.sub(c4, f32x4.mul(v, v128.load(g, 64)));
    c5 = f32x4.sub(c5, f32x4.mul(v, v128.load(g, 80)));
    c6 = f32x4.sub(c6, f32x4.mul(v, v128.load(g, 96)));
    c7 = f32x4.sub(c7, f32x4.mul(v, v128.load(g, 112)));
  }
  c0 = score(f32x4.mul(c0, v128.load(scales)), magnitude);
  c1 = score(f32x4.mul(c1, v128.load(scales, 16)), magnitude);
  c2 = score(f32x4.mul(c2, v128.load(scales, 32)), magnitude);
  c3 = score(f32x4.mul(c3, v128.load(scales, 48)), magnitude);
  c4 = score(f32x4.mul(c4, v128.load(scales, 64)), magnitude);
  c5 = score(f32x4.mul(c5, v128.load(scales, 80)), magnitude);
  c6 = score(f32x4.mul(c6, v128.load(scales, 96)), magnitude);
  c7 = score(f32x4.mul(c7, v128.load(scales, 112)), magnitude);
  v128.store(to, c0);
  v128.store(to, c1, 16);
  v128.store(to, c2, 32);
  v128.store(to, c3, 48);
  v128.store(to, c4, 64);
  v128.store(to, c5, 80);
  v128.store(to, c6, 96);
  v128.store(to, c7, 112);
  // pmax takes the second operand only if it is greater, so NaN never wins.
  let even = f32x4.pmax(f32x4.splat(LEAST), c0);
  let odd = f32x4.pmax(f32x4.splat(LEAST), c1);
  even = f32x4.pmax(f32x4.pmax(even, c2), c4);
  odd = f32x4.pmax(f32x4.pmax(odd, c3), c5);
  even = f32x4.pmax(even, c6);
  odd = f32x4.pmax(odd, c7);
  return f32x4.pmax(even, odd);
}

/**
 * Arg-max of (c − Σ factor·row)·scale over `width` correlations; c does not change. `blocks` has room for two blocks of
 * scores, the last and the best so far.
 */
// @ts-ignore: decorator
@inline
function explainBy(
  c: usize, terms: usize, count: u32, scales: usize, width: u32, blocks: usize, out: usize, magnitude: bool,
): void {
  const end = terms + ((<usize>count) << 3);
  let best = f32x4.splat(LEAST);
  let bestBlock: usize = 0;
  let now = blocks;
  let kept = blocks + BLOCK;
  for (let at: usize = 0, all = (<usize>width) << 2; at < all; at += BLOCK) {
    const first = explainHalf(c + at, terms, end, at, scales + at, now, magnitude);
    const second = explainHalf(c + at + HALF, terms, end, at + HALF, scales + at + HALF, now + HALF, magnitude);
    const scores = f32x4.pmax(first, second);
    if (v128.any_true(f32x4.gt(scores, best))) {
      best = f32x4.splat(largestLane(scores));
      bestBlock = at;
      const free = kept;
      kept = now;
      now = free;
    }
  }
  const value = f32x4.extract_lane(best, 0);
  let index: usize = 0;
  while (index < BLOCK && load<f32>(kept + index) != value) index += 4;
  store<f32>(out, value);
  store<u32>(out, <u32>((bestBlock + index) >> 2), 4);
}

export function explain(
  c: usize, terms: usize, count: u32, scales: usize, width: u32, blocks: usize, out: usize,
): void {
  explainBy(c, terms, count, scales, width, blocks, out, false);
}

export function explainMagnitude(
  c: usize, terms: usize, count: u32, scales: usize, width: u32, blocks: usize, out: usize,
): void {
  explainBy(c, terms, count, scales, width, blocks, out, true);
}

/**
 * out[k] ← row64 · x_k in float64, for `count` rows x_k of `width` float32 (a multiple of 16) at the uint32 addresses in
 * `list`. `row64` is [width] float64.
 */
export function products(row64: usize, list: usize, count: u32, width: u32, out: usize): void {
  const length = (<usize>width) << 2;
  for (const end = list + ((<usize>count) << 2); list < end; list += 4, out += 8) {
    const x = <usize>load<u32>(list);
    let s0 = f64x2.splat(0);
    let s1 = s0;
    let s2 = s0;
    let s3 = s0;
    for (let at: usize = 0; at < length; at += 32) {
      const a = v128.load(x + at);
      const b = v128.load(x + at, 16);
      const w = row64 + (at << 1);
      s0 = f64x2.add(s0, f64x2.mul(v128.load(w), f64x2.promote_low_f32x4(a)));
      s1 = f64x2.add(s1, f64x2.mul(v128.load(w, 16), f64x2.promote_low_f32x4(highHalf(a))));
      s2 = f64x2.add(s2, f64x2.mul(v128.load(w, 32), f64x2.promote_low_f32x4(b)));
      s3 = f64x2.add(s3, f64x2.mul(v128.load(w, 48), f64x2.promote_low_f32x4(highHalf(b))));
    }
    const sum = f64x2.add(f64x2.add(s0, s1), f64x2.add(s2, s3));
    store<f64>(out, f64x2.extract_lane(sum, 0) + f64x2.extract_lane(sum, 1));
  }
}
