/**
 * Finds the atoms of a row that can be active, with 128-bit SIMD. Addresses are in bytes. A row of scores is [width] float32;
 * a list receives uint32 atoms in ascending order and needs room for all of them. Nothing allocates.
 */

/** Scores that share one test. */
const BLOCK: u32 = 16;

/** Writes the atoms with a score above their limit. @returns how many */
export function above(scores: usize, limits: usize, width: u32, list: usize): u32 {
  const blocks = width & ~(BLOCK - 1);
  let to = list;
  let j: u32 = 0;
  for (; j < blocks; j += BLOCK) {
    const at = (<usize>j) << 2;
    const h = scores + at;
    const limit = limits + at;
    const m0 = f32x4.gt(v128.load(h), v128.load(limit));
    const m1 = f32x4.gt(v128.load(h, 16), v128.load(limit, 16));
    const m2 = f32x4.gt(v128.load(h, 32), v128.load(limit, 32));
    const m3 = f32x4.gt(v128.load(h, 48), v128.load(limit, 48));
    if (v128.any_true(v128.or(v128.or(m0, m1), v128.or(m2, m3)))) {
      for (let found = bits(m0, m1, m2, m3); found != 0; found &= found - 1, to += 4) store<u32>(to, j + ctz(found));
    }
  }
  for (; j < width; j++) {
    const at = (<usize>j) << 2;
    if (load<f32>(scores + at) > load<f32>(limits + at)) {
      store<u32>(to, j);
      to += 4;
    }
  }
  return <u32>((to - list) >> 2);
}

/** keys ← scores · factors, in float64 and rounded. Reads and writes up to three keys beyond `width`. */
export function scale(scores: usize, factors: usize, width: u32, keys: usize): void {
  for (const end = scores + ((<usize>width) << 2); scores < end; scores += 16, factors += 32, keys += 16) {
    const four = v128.load(scores);
    const low = f64x2.mul(f64x2.promote_low_f32x4(four), v128.load(factors));
    const high = f64x2.mul(f64x2.promote_low_f32x4(i64x2.shuffle(four, four, 1, 1)), v128.load(factors, 16));
    v128.store64_lane(keys, f32x4.demote_f64x2_zero(low), 0);
    v128.store64_lane(keys, f32x4.demote_f64x2_zero(high), 0, 8);
  }
}

/**
 * Writes the atoms of the k largest keys; the lower atom wins a tie, NaN never does. `heap` has room for k float32.
 * @returns how many
 */
export function largest(keys: usize, width: u32, k: u32, heap: usize, list: usize): u32 {
  return largestBy(keys, width, k, heap, list, false);
}

export function largestMagnitude(keys: usize, width: u32, k: u32, heap: usize, list: usize): u32 {
  return largestBy(keys, width, k, heap, list, true);
}

/**
 * The heap holds the k largest keys so far, the least on top. Every atom whose key enters it goes to the list, which so stays
 * in order; at the end the list is shortened to the atoms whose keys are still in the heap.
 */
// @ts-ignore: decorator
@inline
function largestBy(keys: usize, width: u32, k: u32, heap: usize, list: usize, magnitude: bool): u32 {
  let size: u32 = 0;
  let to = list;
  let j: u32 = 0;
  for (; j < width && size < k; j++) {
    const value = key(keys, j, magnitude);
    if (value != value) continue;
    push(heap, size++, value);
    store<u32>(to, j);
    to += 4;
  }
  if (size == k) {
    let least = load<f32>(heap);
    let leasts = f32x4.splat(least);
    const blocks: u32 = width < BLOCK ? 0 : width - BLOCK + 1;
    while (j < blocks) {
      const h = keys + ((<usize>j) << 2);
      const m0 = f32x4.gt(score(v128.load(h), magnitude), leasts);
      const m1 = f32x4.gt(score(v128.load(h, 16), magnitude), leasts);
      const m2 = f32x4.gt(score(v128.load(h, 32), magnitude), leasts);
      const m3 = f32x4.gt(score(v128.load(h, 48), magnitude), leasts);
      if (v128.any_true(v128.or(v128.or(m0, m1), v128.or(m2, m3)))) {
        for (let found = bits(m0, m1, m2, m3); found != 0; found &= found - 1) {
          const atom = j + ctz(found);
          const value = key(keys, atom, magnitude);
          if (value <= least) continue;
          replaceLeast(heap, k, value);
          least = load<f32>(heap);
          store<u32>(to, atom);
          to += 4;
        }
        leasts = f32x4.splat(least);
      }
      j += BLOCK;
    }
    for (; j < width; j++) {
      const value = key(keys, j, magnitude);
      if (!(value > least)) continue;
      replaceLeast(heap, k, value);
      least = load<f32>(heap);
      store<u32>(to, j);
      to += 4;
    }
  }
  if (((to - list) >> 2) == <usize>size) return size;
  return shorten(keys, heap, size, list, to, magnitude);
}

/** Leaves the atoms in the list [list, to) whose keys are in the heap of `size` keys. @returns how many: `size` */
// @ts-ignore: decorator
@inline
function shorten(keys: usize, heap: usize, size: u32, list: usize, to: usize, magnitude: bool): u32 {
  const least = load<f32>(heap);
  let ties = size;
  for (let at = heap, end = heap + ((<usize>size) << 2); at < end; at += 4) if (load<f32>(at) > least) ties--;
  let kept = list;
  for (let at = list; at < to; at += 4) {
    const atom = load<u32>(at);
    const value = key(keys, atom, magnitude);
    if (value < least) continue;
    if (value == least) {
      if (ties == 0) continue;
      ties--;
    }
    store<u32>(kept, atom);
    kept += 4;
  }
  return size;
}

/**
 * Writes the atom of the largest score of each group of `size` atoms; the lower atom wins a tie. The first of a group also
 * stays if its score is NaN.
 * @returns how many
 */
export function largestOfGroups(scores: usize, width: u32, size: u32, list: usize): u32 {
  let to = list;
  for (let from: u32 = 0; from < width; from += size, to += 4) {
    let best = from;
    let value = key(scores, from, false);
    for (let j = from + 1, end = min(from + size, width); j < end; j++) {
      const other = key(scores, j, false);
      if (other > value) {
        best = j;
        value = other;
      }
    }
    store<u32>(to, best);
  }
  return <u32>((to - list) >> 2);
}

// @ts-ignore: decorator
@inline
function bits(m0: v128, m1: v128, m2: v128, m3: v128): u32 {
  return <u32>(
    i32x4.bitmask(m0) | (i32x4.bitmask(m1) << 4) | (i32x4.bitmask(m2) << 8) | (i32x4.bitmask(m3) << 12)
  );
}

// @ts-ignore: decorator
@inline
function score(h: v128, magnitude: bool): v128 {
  return magnitude ? f32x4.abs(h) : h;
}

// @ts-ignore: decorator
@inline
function key(keys: usize, atom: u32, magnitude: bool): f32 {
  const value = load<f32>(keys + ((<usize>atom) << 2));
  return magnitude ? abs(value) : value;
}

function push(heap: usize, size: u32, value: f32): void {
  let at = size;
  while (at > 0) {
    const parent = (at - 1) >> 1;
    const above = load<f32>(heap + ((<usize>parent) << 2));
    if (above <= value) break;
    store<f32>(heap + ((<usize>at) << 2), above);
    at = parent;
  }
  store<f32>(heap + ((<usize>at) << 2), value);
}

function replaceLeast(heap: usize, size: u32, value: f32): void {
  let at: u32 = 0;
  for (;;) {
    let child: u32 = 2 * at + 1;
    if (child >= size) break;
    let below = load<f32>(heap + ((<usize>child) << 2));
    if (child + 1 < size) {
      const right = load<f32>(heap + ((<usize>(child + 1)) << 2));
      if (right < below) {
        below = right;
        child++;
      }
    }
    if (value <= below) break;
    store<f32>(heap + ((<usize>at) << 2), below);
    at = child;
  }
  store<f32>(heap + ((<usize>at) << 2), value);
}
