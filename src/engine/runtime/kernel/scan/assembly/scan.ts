/**
 * Finds the atoms of a row that can be active, with 128-bit SIMD. Addresses are in bytes. A row of products and a bias are
 * [width] float32, and h is their sum: added here, since the runtime would need one more pass over a batch. A list receives
 * uint32 atoms in ascending order and needs room for all of them. Nothing allocates.
 */

/** Scores that share one test. */
const BLOCK: u32 = 16;

/** Writes the atoms with h above their limit. @returns how many */
export function above(products: usize, bias: usize, limits: usize, width: u32, list: usize): u32 {
  const blocks = width & ~(BLOCK - 1);
  let to = list;
  let j: u32 = 0;
  for (; j < blocks; j += BLOCK) {
    const at = (<usize>j) << 2;
    const p = products + at;
    const b = bias + at;
    const limit = limits + at;
    const m0 = f32x4.gt(f32x4.add(v128.load(p), v128.load(b)), v128.load(limit));
    const m1 = f32x4.gt(f32x4.add(v128.load(p, 16), v128.load(b, 16)), v128.load(limit, 16));
    const m2 = f32x4.gt(f32x4.add(v128.load(p, 32), v128.load(b, 32)), v128.load(limit, 32));
    const m3 = f32x4.gt(f32x4.add(v128.load(p, 48), v128.load(b, 48)), v128.load(limit, 48));
    if (v128.any_true(v128.or(v128.or(m0, m1), v128.or(m2, m3)))) {
      for (let found = bits(m0, m1, m2, m3); found != 0; found &= found - 1, to += 4) store<u32>(to, j + ctz(found));
    }
  }
  for (; j < width; j++) {
    const at = (<usize>j) << 2;
    if (load<f32>(products + at) + load<f32>(bias + at) > load<f32>(limits + at)) {
      store<u32>(to, j);
      to += 4;
    }
  }
  return <u32>((to - list) >> 2);
}

/** keys ← h · factors, in float64 and rounded. Reads and writes up to three keys beyond `width`. */
export function scale(products: usize, bias: usize, factors: usize, width: u32, keys: usize): void {
  const end = products + ((<usize>width) << 2);
  for (; products < end; products += 16, bias += 16, factors += 32, keys += 16) {
    const four = f32x4.add(v128.load(products), v128.load(bias));
    const low = f64x2.mul(f64x2.promote_low_f32x4(four), v128.load(factors));
    const high = f64x2.mul(f64x2.promote_low_f32x4(i64x2.shuffle(four, four, 1, 1)), v128.load(factors, 16));
    v128.store64_lane(keys, f32x4.demote_f64x2_zero(low), 0);
    v128.store64_lane(keys, f32x4.demote_f64x2_zero(high), 0, 8);
  }
}

/** scores ← h of the atoms in a list. */
export function gather(products: usize, bias: usize, list: usize, count: u32, scores: usize): void {
  for (const end = list + ((<usize>count) << 2); list < end; list += 4, scores += 4) {
    store<f32>(scores, sum(products, bias, load<u32>(list)));
  }
}

/**
 * Writes the atoms of the k largest keys; the lower atom wins a tie, NaN never does. `heap` has room for k float32.
 * A key is a product + a bias.
 * @returns how many
 */
export function largest(products: usize, bias: usize, width: u32, k: u32, heap: usize, list: usize): u32 {
  return largestBy(products, bias, width, k, heap, list, false);
}

/** The same by the magnitude of the sum. */
export function largestMagnitude(products: usize, bias: usize, width: u32, k: u32, heap: usize, list: usize): u32 {
  return largestBy(products, bias, width, k, heap, list, true);
}

/**
 * The heap holds the k largest keys so far, the least on top. Every atom whose key enters it goes to the list, which so stays
 * in order; at the end the list is shortened to the atoms whose keys are still in the heap.
 */
// @ts-ignore: decorator
@inline
function largestBy(
  products: usize, bias: usize, width: u32, k: u32, heap: usize, list: usize, magnitude: bool,
): u32 {
  let size: u32 = 0;
  let to = list;
  let j: u32 = 0;
  for (; j < width && size < k; j++) {
    const value = key(products, bias, j, magnitude);
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
      const p = products + ((<usize>j) << 2);
      const b = bias + ((<usize>j) << 2);
      const m0 = f32x4.gt(keysOf(v128.load(p), v128.load(b), magnitude), leasts);
      const m1 = f32x4.gt(keysOf(v128.load(p, 16), v128.load(b, 16), magnitude), leasts);
      const m2 = f32x4.gt(keysOf(v128.load(p, 32), v128.load(b, 32), magnitude), leasts);
      const m3 = f32x4.gt(keysOf(v128.load(p, 48), v128.load(b, 48), magnitude), leasts);
      if (v128.any_true(v128.or(v128.or(m0, m1), v128.or(m2, m3)))) {
        for (let found = bits(m0, m1, m2, m3); found != 0; found &= found - 1) {
          const atom = j + ctz(found);
          const value = key(products, bias, atom, magnitude);
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
      const value = key(products, bias, j, magnitude);
      if (!(value > least)) continue;
      replaceLeast(heap, k, value);
      least = load<f32>(heap);
      store<u32>(to, j);
      to += 4;
    }
  }
  if (((to - list) >> 2) == <usize>size) return size;
  return shorten(products, bias, heap, size, list, to, magnitude);
}

/** Leaves the atoms in the list [list, to) whose keys are in the heap of `size` keys. @returns how many: `size` */
// @ts-ignore: decorator
@inline
function shorten(
  products: usize, bias: usize, heap: usize, size: u32, list: usize, to: usize, magnitude: bool,
): u32 {
  const least = load<f32>(heap);
  let ties = size;
  for (let at = heap, end = heap + ((<usize>size) << 2); at < end; at += 4) if (load<f32>(at) > least) ties--;
  let kept = list;
  for (let at = list; at < to; at += 4) {
    const atom = load<u32>(at);
    const value = key(products, bias, atom, magnitude);
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
 * Writes the atom of the largest h of each group of `size` atoms; the lower atom wins a tie. The first of a group also
 * stays if its h is NaN.
 * @returns how many
 */
export function largestOfGroups(products: usize, bias: usize, width: u32, size: u32, list: usize): u32 {
  let to = list;
  for (let from: u32 = 0; from < width; from += size, to += 4) {
    let best = from;
    let value = sum(products, bias, from);
    for (let j = from + 1, end = min(from + size, width); j < end; j++) {
      const other = sum(products, bias, j);
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
function keysOf(products: v128, bias: v128, magnitude: bool): v128 {
  const h = f32x4.add(products, bias);
  return magnitude ? f32x4.abs(h) : h;
}

// @ts-ignore: decorator
@inline
function key(products: usize, bias: usize, atom: u32, magnitude: bool): f32 {
  const h = sum(products, bias, atom);
  return magnitude ? abs(h) : h;
}

// @ts-ignore: decorator
@inline
function sum(products: usize, bias: usize, atom: u32): f32 {
  const at = (<usize>atom) << 2;
  return load<f32>(products + at) + load<f32>(bias + at);
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
