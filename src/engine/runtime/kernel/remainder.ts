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

/** Atoms touched before they are used: few enough that all of them are still in cache then. A multiple of four. */
const ATOMS_AT_ONCE = 16;

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
  for (let k = from; k < to;) {
    const end = Math.min(k + ATOMS_AT_ONCE, to);
    if (touches) {
      for (let i = k; i < end; i += 2) kernel.touchTwo(atomOf(i), atomOf(Math.min(i + 1, end - 1)), rowWidth);
    }
    for (; k + 4 <= end; k += 4) {
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
    for (; k < end; k++) kernel.subtractWide(wide, atomOf(k), values[k]!, rowWidth);
  }
  return kernel.energyWide(wide, rowWidth);
}
