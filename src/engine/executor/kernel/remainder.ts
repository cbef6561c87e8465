import type { Arena } from "./arena.ts";
import type { RowTouchKernel, WideKernel } from "./pursuit-kernel.ts";

/** Entries [from, to) of a code or of selections, which may name an atom twice. */
export interface Entries {
  readonly indices: ArrayLike<number>;
  readonly values: ArrayLike<number>;
  readonly from: number;
  readonly to: number;
  /** Whether to touch the atoms first: see touch-trial.ts. */
  readonly touches: boolean;
}

/**
 * wide ← x − Σ values·atoms in float64: by four atoms at a time, which reads and writes the row a quarter as often and
 * rounds the same.
 * @param wide address of [rowWidth] float64
 * @param x address of [rowWidth] float32
 * @returns its squared norm
 */
export function takeRemainder(
  kernel: WideKernel & RowTouchKernel,
  { atoms, rowWidth }: Pick<Arena, "atoms" | "rowWidth">,
  wide: number,
  x: number,
  { indices, values, from, to, touches }: Entries,
): number {
  const atomOf = (k: number): number => atoms + 4 * rowWidth * indices[k]!;
  kernel.widen(wide, x, rowWidth);
  if (touches) {
    for (let k = from; k < to; k += 2) kernel.touchTwo(atomOf(k), atomOf(Math.min(k + 1, to - 1)), rowWidth);
  }
  let k = from;
  for (; k + 4 <= to; k += 4) {
    kernel.subtractWideFour(
      wide,
      atomOf(k),
      values[k]!,
      atomOf(k + 1),
      values[k + 1]!,
      atomOf(k + 2),
      values[k + 2]!,
      atomOf(k + 3),
      values[k + 3]!,
      rowWidth,
    );
  }
  for (; k < to; k++) kernel.subtractWide(wide, atomOf(k), values[k]!, rowWidth);
  return kernel.energyWide(wide, rowWidth);
}
