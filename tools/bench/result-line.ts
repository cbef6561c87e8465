import type { PursuitPath } from "../../src/engine/core/dictionary.ts";
import type { OrthogonalBaseline, Baseline } from "./baseline-process.ts";

/** One line of the table, and one object of `--json`: a path of ours beside a baseline in the same run. */
export interface ResultLine {
  readonly d: number;
  readonly m: number;
  readonly steps: number;
  /** Rows of one call of ours. */
  readonly batch: number;
  /** `orthogonal`: orthogonal pursuit, which has one path. */
  readonly path: PursuitPath | "orthogonal";
  readonly us_per_row: number;
  readonly baseline: Baseline | OrthogonalBaseline | "none";
  /** The better of our batch and of the batch that suits the baseline best. */
  readonly baseline_us_per_row: number | null;
  readonly baseline_batch: number | null;
  /** Null where there is no baseline, or where the codes disagree. */
  readonly ratio: number | null;
  /** What `ratio` is aimed to be; null where nothing is aimed at. */
  readonly goal: number | null;
  readonly roofline_us: number | null;
  readonly roofline_share: number | null;
}

/** Head and width of each column: fixed, so that a line can be printed as soon as it is known. */
const COLUMNS: readonly (readonly [keyof ResultLine, string, number])[] = [
  ["d", "d", 4],
  ["m", "m", 5],
  ["steps", "steps", 5],
  ["batch", "batch", 5],
  ["path", "path", 14],
  ["us_per_row", "us/row", 9],
  ["baseline", "baseline", 13],
  ["baseline_us_per_row", "its us/row", 10],
  ["baseline_batch", "its batch", 9],
  ["ratio", "ratio", 6],
  ["goal", "goal", 4],
  ["roofline_us", "roofline", 8],
  ["roofline_share", "share", 5],
];

/** The lines as `--json` prints them: an array of objects of the columns, unrounded. */
export function jsonText(lines: readonly ResultLine[]): string {
  return JSON.stringify(
    lines.map((line) => Object.fromEntries(COLUMNS.map(([key]) => [key, line[key]]))),
    null,
    2,
  );
}

export const tableHead = (): string => COLUMNS.map(([, head, width]) => head.padStart(width)).join("  ");

export function tableLine(line: ResultLine): string {
  return COLUMNS.map(([key, , width]) => cell(key, line[key]).padStart(width)).join("  ");
}

const DIGITS: Partial<Record<keyof ResultLine, number>> = {
  us_per_row: 1,
  baseline_us_per_row: 1,
  ratio: 1,
  roofline_us: 1,
  roofline_share: 2,
};

function cell(key: keyof ResultLine, value: string | number | null): string {
  if (value === null) return "-";
  return typeof value === "number" ? value.toFixed(DIGITS[key] ?? 0) : value;
}
