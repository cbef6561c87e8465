/**
 * Σ(x − s) by column and Σ(x − s)² over rows [count, width], s being a row of their like: in float64, eight columns at a
 * time down all rows. Adds to the sums [width] and returns the squares, which are NaN or infinite exactly where a value
 * is: a difference of two finite float32 squared is finite in float64, however many are added.
 */
export function spread(rows: usize, count: i32, width: i32, shift: usize, sums: usize): f64 {
  const stride = <usize>width << 2;
  const end = rows + stride * count;
  let q0 = f64x2.splat(0);
  let q1 = f64x2.splat(0);
  let q2 = f64x2.splat(0);
  let q3 = f64x2.splat(0);
  let c = 0;
  for (; c + 8 <= width; c += 8) {
    const left = v128.load(shift + (<usize>c << 2));
    const right = v128.load(shift + (<usize>c << 2), 16);
    const s0 = f64x2.promote_low_f32x4(left);
    const s1 = f64x2.promote_low_f32x4(v128.shuffle<f64>(left, left, 1, 1));
    const s2 = f64x2.promote_low_f32x4(right);
    const s3 = f64x2.promote_low_f32x4(v128.shuffle<f64>(right, right, 1, 1));
    const sum = sums + (<usize>c << 3);
    let a0 = v128.load(sum);
    let a1 = v128.load(sum, 16);
    let a2 = v128.load(sum, 32);
    let a3 = v128.load(sum, 48);
    for (let at = rows + (<usize>c << 2); at < end; at += stride) {
      const x = v128.load(at);
      const y = v128.load(at, 16);
      const d0 = f64x2.sub(f64x2.promote_low_f32x4(x), s0);
      const d1 = f64x2.sub(f64x2.promote_low_f32x4(v128.shuffle<f64>(x, x, 1, 1)), s1);
      const d2 = f64x2.sub(f64x2.promote_low_f32x4(y), s2);
      const d3 = f64x2.sub(f64x2.promote_low_f32x4(v128.shuffle<f64>(y, y, 1, 1)), s3);
      a0 = f64x2.add(a0, d0);
      a1 = f64x2.add(a1, d1);
      a2 = f64x2.add(a2, d2);
      a3 = f64x2.add(a3, d3);
      q0 = f64x2.add(q0, f64x2.mul(d0, d0));
      q1 = f64x2.add(q1, f64x2.mul(d1, d1));
      q2 = f64x2.add(q2, f64x2.mul(d2, d2));
      q3 = f64x2.add(q3, f64x2.mul(d3, d3));
    }
    v128.store(sum, a0);
    v128.store(sum, a1, 16);
    v128.store(sum, a2, 32);
    v128.store(sum, a3, 48);
  }
  q0 = f64x2.add(f64x2.add(q0, q1), f64x2.add(q2, q3));
  let squares = f64x2.extract_lane(q0, 0) + f64x2.extract_lane(q0, 1);
  for (; c < width; c++) {
    const s = <f64>load<f32>(shift + (<usize>c << 2));
    let sum = load<f64>(sums + (<usize>c << 3));
    for (let at = rows + (<usize>c << 2); at < end; at += stride) {
      const away = <f64>load<f32>(at) - s;
      sum += away;
      squares += away * away;
    }
    store<f64>(sums + (<usize>c << 3), sum);
  }
  return squares;
}
