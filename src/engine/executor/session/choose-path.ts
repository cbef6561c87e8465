import type { PursuitPath } from "../../engine.ts";

/**
 * The rule by which a dictionary's path is chosen: the Gram matrix while its m² float32 stay within the limit, as a step
 * then costs a row m and not m·d; on CPU in the fused kernel, on CUDA in the graph. `npm run bench` checks it.
 */
export function choosePath(
  m: number,
  { runtime, gramLimitBytes }: { readonly runtime: "cpu" | "cuda"; readonly gramLimitBytes: number },
): PursuitPath {
  const gram = 4 * m * m <= gramLimitBytes;
  if (runtime === "cuda") return gram ? "gram" : "residual";
  return gram ? "fused" : "fused_residual";
}

/** The kernel is the CPU's. */
export const runsOn = (path: PursuitPath, runtime: "cpu" | "cuda"): boolean =>
  runtime === "cpu" || path === "gram" || path === "residual";
