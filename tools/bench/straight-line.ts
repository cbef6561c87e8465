/** The straight line of least relative error through points (x, y), y > 0, and how far at most a point lies beside it. */
export interface StraightLine {
  readonly base: number;
  readonly slope: number;
  /** max |y − line| / y */
  readonly off: number;
}

export function straightLine(points: readonly (readonly [number, number])[]): StraightLine {
  if (points.length < 3) throw new Error("a line through fewer than three points says nothing");
  // Least squares with weights 1 / y².
  let [w, wx, wy, wxx, wxy] = [0, 0, 0, 0, 0];
  for (const [x, y] of points) {
    const weight = 1 / y ** 2;
    w += weight;
    wx += weight * x;
    wy += weight * y;
    wxx += weight * x * x;
    wxy += weight * x * y;
  }
  const slope = (w * wxy - wx * wy) / (w * wxx - wx * wx);
  const base = (wy - slope * wx) / w;
  const off = Math.max(...points.map(([x, y]) => Math.abs(y - base - slope * x) / y));
  return { base, slope, off };
}
