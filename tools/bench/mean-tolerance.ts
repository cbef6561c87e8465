/** ||r|| / ||x − b|| of one row before its first step and after each: 1 first. */
export type ErrorCurve = readonly number[];

/** Steps that a row makes under a tolerance: until its error is at most that, or its curve ends. */
export function stepsUnder(curve: ErrorCurve, tolerance: number): number {
  const at = curve.findIndex((error) => error <= tolerance);
  return at < 0 ? curve.length - 1 : at;
}

/** The tolerance under which rows make `mean` steps on average, as nearly as there is one. */
export function toleranceForMean(curves: readonly ErrorCurve[], mean: number): number {
  const average = (tolerance: number): number =>
    curves.reduce((sum, curve) => sum + stepsUnder(curve, tolerance), 0) / curves.length;
  let [low, high] = [0, 1];
  // Average steps fall as the tolerance grows.
  for (let i = 0; i < 50; i++) {
    const middle = (low + high) / 2;
    if (average(middle) > mean) low = middle;
    else high = middle;
  }
  return high;
}
