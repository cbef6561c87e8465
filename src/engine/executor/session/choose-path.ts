export type PursuitPath = "residual" | "gram";

/**
 * The form of the pursuit graph for a dictionary: Gram while its m² float32 matrix stays within the limit, as it then
 * costs m a step and row instead of m·d.
 */
export function choosePath(m: number, { gramLimitBytes }: { readonly gramLimitBytes: number }): PursuitPath {
  return 4 * m * m <= gramLimitBytes ? "gram" : "residual";
}
