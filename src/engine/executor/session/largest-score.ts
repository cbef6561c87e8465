import type { OrthogonalScore } from "../../dictionary.ts";
import type { LeastSquares } from "../../least-squares.ts";

/**
 * The lowest atom of the largest score, among those not yet selected; −1 where no score is above 0.
 * @param c [m] D·r; entries of selected atoms are overwritten. @param scales [m] what each is multiplied by
 */
export function largestScore(
  c: Float32Array,
  scales: Float32Array,
  score: OrthogonalScore,
  { selected, size }: Pick<LeastSquares, "selected" | "size">,
): number {
  for (let k = 0; k < size; k++) c[selected[k]!] = 0;
  let best = 0;
  let at = -1;
  if (score === "relu") {
    for (let j = 0; j < c.length; j++) {
      const scored = c[j]! * scales[j]!;
      if (scored > best) {
        best = scored;
        at = j;
      }
    }
  } else {
    for (let j = 0; j < c.length; j++) {
      const scored = Math.abs(c[j]!) * scales[j]!;
      if (scored > best) {
        best = scored;
        at = j;
      }
    }
  }
  return at;
}
