/** Elements of one tile's side: two tiles of float32 fit the first cache. */
const TILE = 64;

/**
 * A strided view as a row-major array.
 * @param source the view's elements; the one at index 0, … 0 comes first
 * @param shape sizes, @param strides elements between neighbours along each axis
 */
export function toRowMajor(source: Float32Array, shape: readonly number[], strides: readonly number[]): Float32Array {
  const axes = shape.map((size, axis) => ({ size, stride: strides[axis]! })).filter(({ size }) => size !== 1);
  const target = new Float32Array(axes.reduce((product, { size }) => product * size, 1));
  if (target.length === 0) return target;
  const one = { size: 1, stride: 0 };
  const [rows, columns] = [axes.at(-2) ?? one, axes.at(-1) ?? one];
  const outer = axes.slice(0, -2);
  const index = outer.map(() => 0);
  for (let to = 0; to < target.length; to += rows.size * columns.size) {
    const from = index.reduce((at, i, axis) => at + i * outer[axis]!.stride, 0);
    // In tiles, so that the lines of both sides are used while they are in the cache, whichever of them runs across.
    for (let r0 = 0; r0 < rows.size; r0 += TILE) {
      for (let c0 = 0; c0 < columns.size; c0 += TILE) {
        for (let r = r0; r < Math.min(r0 + TILE, rows.size); r++) {
          let at = from + r * rows.stride + c0 * columns.stride;
          const row = to + r * columns.size;
          for (let c = c0; c < Math.min(c0 + TILE, columns.size); c++, at += columns.stride) {
            target[row + c] = source[at]!;
          }
        }
      }
    }
    for (let axis = outer.length - 1; axis >= 0 && ++index[axis]! === outer[axis]!.size; axis--) index[axis] = 0;
  }
  return target;
}

/** Strides of a dense row-major array of that shape. */
export function rowMajorStrides(shape: readonly number[]): number[] {
  const strides = shape.map(() => 1);
  for (let axis = shape.length - 2; axis >= 0; axis--) strides[axis] = strides[axis + 1]! * shape[axis + 1]!;
  return strides;
}

/** Whether a view is dense and row-major already. Axes of size 1 may have any stride. */
export function isRowMajor(shape: readonly number[], strides: readonly number[]): boolean {
  const dense = rowMajorStrides(shape);
  return shape.every((size, axis) => size === 1 || strides[axis] === dense[axis]);
}
