import type { PursuitPath } from "../../core/dictionary.ts";

/**
 * The rule by which a dictionary's path is chosen: the Gram matrix while its m² float32 stay within the limit, as a step
 * then costs a row m and not m·d; on CPU in the fused kernel, on CUDA in the graph. Beyond the limit the residual graph:
 * `fused_residual`, which has to copy every step's correlations, takes longer, and is for the time until the matrix
 * stands. `npm run bench` checks it.
 */
export function choosePath(
  m: number,
  { runtime, gramLimit }: { readonly runtime: "cpu" | "cuda"; readonly gramLimit: number },
): PursuitPath {
  if (4 * m * m > gramLimit) return "residual";
  return runtime === "cuda" ? "gram" : "fused";
}

/** The kernel is the CPU's. */
export const runsOn = (path: PursuitPath, runtime: "cpu" | "cuda"): boolean =>
  runtime === "cpu" || path === "gram" || path === "residual";
