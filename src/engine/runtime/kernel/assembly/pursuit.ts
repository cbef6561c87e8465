/**
 * Inner loops of matching pursuit, in AssemblyScript: 128-bit SIMD over memory that the caller lays out.
 *
 * A row's correlations c and the Gram rows are [width] float32, width a multiple of 64; addresses are in bytes. Padding and
 * atoms that may not be selected again are NaN in c: NaN stays NaN under every update and never wins the arg-max. No function
 * allocates, so instances in several threads may share one memory.
 *
 * An arg-max is written as {float32 score, uint32 index}: the lowest index of the largest score; the score is |c| for
 * `magnitude`. If only NaN is left the score is −∞.
 */
import { BLOCK, largestLane, LEAST, lowestLane, score } from "./argmax";

/** c ← c − v·g for one block. @returns the largest score of each lane */
// @ts-ignore: decorator
@inline
function updateBlock(c: usize, g: usize, v: v128, magnitude: bool): v128 {
  let even = f32x4.splat(LEAST);
  let odd = even;
  for (let k: usize = 0; k < BLOCK; k += 64) {
    const c0 = f32x4.sub(v128.load(c + k), f32x4.mul(v, v128.load(g + k)));
    const c1 = f32x4.sub(v128.load(c + k, 16), f32x4.mul(v, v128.load(g + k, 16)));
    const c2 = f32x4.sub(v128.load(c + k, 32), f32x4.mul(v, v128.load(g + k, 32)));
    const c3 = f32x4.sub(v128.load(c + k, 48), f32x4.mul(v, v128.load(g + k, 48)));
    v128.store(c + k, c0);
    v128.store(c + k, c1, 16);
    v128.store(c + k, c2, 32);
    v128.store(c + k, c3, 48);
    even = f32x4.pmax(f32x4.pmax(even, score(c0, magnitude)), score(c1, magnitude));
    odd = f32x4.pmax(f32x4.pmax(odd, score(c2, magnitude)), score(c3, magnitude));
  }
  return f32x4.pmax(even, odd);
}

/**
 * Writes the arg-max of a row: the largest of four lanes' best scores. `blocks` holds the offset of the block in which each
 * lane first met its best; the lowest index is in the lowest of these blocks.
 */
// @ts-ignore: decorator
@inline
function writeArgmax(out: usize, c: usize, best: v128, blocks: v128, magnitude: bool): void {
  const value = largestLane(best);
  const target = f32x4.splat(value);
  // Lanes with a smaller best point beyond every block.
  let at = c + lowestLane(v128.bitselect(blocks, i32x4.splat(-1), f32x4.eq(best, target)));
  let found: i32 = 0;
  for (const end = at + BLOCK; at < end; at += 16) {
    found = i32x4.bitmask(f32x4.eq(score(v128.load(at), magnitude), target));
    if (found != 0) break;
  }
  store<f32>(out, value);
  store<u32>(out, <u32>((at - c) >> 2) + ctz(found), 4);
}

/** c ← c − v·g over `width` correlations, and their arg-max. `magnitude` is constant at every call, so no branch remains. */
// @ts-ignore: decorator
@inline
function advanceBy(c: usize, g: usize, v: f32, width: u32, out: usize, magnitude: bool): void {
  const factor = f32x4.splat(v);
  let best = f32x4.splat(LEAST);
  let blocks = i32x4.splat(0);
  for (let at: usize = 0, end = (<usize>width) << 2; at < end; at += BLOCK) {
    const scores = updateBlock(c + at, g + at, factor, magnitude);
    blocks = v128.bitselect(i32x4.splat(<i32>at), blocks, f32x4.gt(scores, best));
    best = f32x4.pmax(best, scores);
  }
  writeArgmax(out, c, best, blocks, magnitude);
}

/** Two rows at once: while one waits for memory the other computes (docs/decisions/0005). */
// @ts-ignore: decorator
@inline
function advanceTwoBy(
  c1: usize, g1: usize, v1: f32, out1: usize,
  c2: usize, g2: usize, v2: f32, out2: usize,
  width: u32, magnitude: bool,
): void {
  const factor1 = f32x4.splat(v1);
  const factor2 = f32x4.splat(v2);
  let best1 = f32x4.splat(LEAST);
  let best2 = best1;
  let blocks1 = i32x4.splat(0);
  let blocks2 = blocks1;
  for (let at: usize = 0, end = (<usize>width) << 2; at < end; at += BLOCK) {
    const scores1 = updateBlock(c1 + at, g1 + at, factor1, magnitude);
    const scores2 = updateBlock(c2 + at, g2 + at, factor2, magnitude);
    const block = i32x4.splat(<i32>at);
    blocks1 = v128.bitselect(block, blocks1, f32x4.gt(scores1, best1));
    blocks2 = v128.bitselect(block, blocks2, f32x4.gt(scores2, best2));
    best1 = f32x4.pmax(best1, scores1);
    best2 = f32x4.pmax(best2, scores2);
  }
  writeArgmax(out1, c1, best1, blocks1, magnitude);
  writeArgmax(out2, c2, best2, blocks2, magnitude);
}

export function advance(c: usize, g: usize, v: f32, width: u32, out: usize): void {
  advanceBy(c, g, v, width, out, false);
}

export function advanceMagnitude(c: usize, g: usize, v: f32, width: u32, out: usize): void {
  advanceBy(c, g, v, width, out, true);
}

export function advanceTwo(
  c1: usize, g1: usize, v1: f32, out1: usize, c2: usize, g2: usize, v2: f32, out2: usize, width: u32,
): void {
  advanceTwoBy(c1, g1, v1, out1, c2, g2, v2, out2, width, false);
}

export function advanceTwoMagnitude(
  c1: usize, g1: usize, v1: f32, out1: usize, c2: usize, g2: usize, v2: f32, out2: usize, width: u32,
): void {
  advanceTwoBy(c1, g1, v1, out1, c2, g2, v2, out2, width, true);
}

// @ts-ignore: decorator
@inline
function argmaxBy(c: usize, width: u32, out: usize, magnitude: bool): void {
  let best = f32x4.splat(LEAST);
  let blocks = i32x4.splat(0);
  for (let at: usize = 0, end = (<usize>width) << 2; at < end; at += BLOCK) {
    let scores = f32x4.splat(LEAST);
    for (let k: usize = 0; k < BLOCK; k += 16) scores = f32x4.pmax(scores, score(v128.load(c + at + k), magnitude));
    blocks = v128.bitselect(i32x4.splat(<i32>at), blocks, f32x4.gt(scores, best));
    best = f32x4.pmax(best, scores);
  }
  writeArgmax(out, c, best, blocks, magnitude);
}

/** Arg-max of the correlations, without an update. */
export function argmax(c: usize, width: u32, out: usize): void {
  argmaxBy(c, width, out, false);
}

export function argmaxMagnitude(c: usize, width: u32, out: usize): void {
  argmaxBy(c, width, out, true);
}

/** r ← r − v·atom over `width` values, a multiple of 16. @returns ||r||² */
export function subtract(r: usize, atom: usize, v: f32, width: u32): f32 {
  const factor = f32x4.splat(v);
  let s0 = f32x4.splat(0);
  let s1 = s0;
  let s2 = s0;
  let s3 = s0;
  for (const end = r + ((<usize>width) << 2); r < end; r += 64, atom += 64) {
    const r0 = f32x4.sub(v128.load(r), f32x4.mul(factor, v128.load(atom)));
    const r1 = f32x4.sub(v128.load(r, 16), f32x4.mul(factor, v128.load(atom, 16)));
    const r2 = f32x4.sub(v128.load(r, 32), f32x4.mul(factor, v128.load(atom, 32)));
    const r3 = f32x4.sub(v128.load(r, 48), f32x4.mul(factor, v128.load(atom, 48)));
    v128.store(r, r0);
    v128.store(r, r1, 16);
    v128.store(r, r2, 32);
    v128.store(r, r3, 48);
    s0 = f32x4.add(s0, f32x4.mul(r0, r0));
    s1 = f32x4.add(s1, f32x4.mul(r1, r1));
    s2 = f32x4.add(s2, f32x4.mul(r2, r2));
    s3 = f32x4.add(s3, f32x4.mul(r3, r3));
  }
  const sum = f32x4.add(f32x4.add(s0, s1), f32x4.add(s2, s3));
  return (
    f32x4.extract_lane(sum, 0) + f32x4.extract_lane(sum, 1) + (f32x4.extract_lane(sum, 2) + f32x4.extract_lane(sum, 3))
  );
}
