import type { DictionaryManifest } from "../core/dictionary.ts";
import { type SparseCodes, STOP_REASONS } from "../core/sparse-codes.ts";

/** How much of its held-out rows a dictionary explains with so many atoms, as its provenance says. */
interface ReferenceFigure {
  readonly atoms: number;
  /** Share of the rows' variance, over 0, 1 at most. */
  readonly explained: number;
}

/** Rows that explain less than this share of what held-out rows explain are probably not of the dictionary's kind. */
const FAR_OUTSIDE = 0.5;

/** A row that such a limit ended is explained as well as its request asked. */
const ENDED_BY_REQUEST: ReadonlySet<string> = new Set(["tolerance", "residual_norm", "min_gain", "degraded"]);

const WARNING =
  "These rows are explained less than half as well as the dictionary's held-out rows are by as many atoms. Check that they are of its model, layer and scale (provenance of GET /v1/dictionaries/{id}).";

/**
 * Compares the relative errors of an answer with the dictionary's reference figures, `provenance.held_out`, at the same
 * number of atoms.
 * @returns a warning where the rows lie far outside them; undefined where they do not, or there is nothing to compare
 */
export function warningOf(codes: SparseCodes, { provenance, groups }: DictionaryManifest): string | undefined {
  const { relativeErrors, stops, indptr, count } = codes;
  // Nested widths explain less, and held-out figures are of all atoms.
  if (relativeErrors === undefined || groups !== undefined) return undefined;
  const figures = figuresOf(provenance["held_out"]);
  if (figures.length === 0) return undefined;
  let [rows, atoms, left] = [0, 0, 0];
  for (let i = 0; i < count; i++) {
    if (ENDED_BY_REQUEST.has(STOP_REASONS[stops[i]!]!)) continue;
    rows++;
    atoms += indptr[i + 1]! - indptr[i]!;
    left += relativeErrors[i]! ** 2;
  }
  // Of figures with no more atoms, the best: rows with more atoms should explain as much at least.
  const within = figures.filter((figure) => figure.atoms <= atoms / rows);
  const expected = Math.max(0, ...within.map(({ explained }) => explained));
  return 1 - left / rows < expected * FAR_OUTSIDE ? WARNING : undefined;
}

/** Provenance is free text of whoever made the dictionary: entries of another form are passed over. */
function figuresOf(heldOut: unknown): readonly ReferenceFigure[] {
  if (!Array.isArray(heldOut)) return [];
  return heldOut.flatMap((entry: unknown) => {
    const { atoms, explained_variance: explained } = (entry ?? {}) as Record<string, unknown>;
    const sound = typeof atoms === "number" && typeof explained === "number" && explained > 0 && explained <= 1;
    return sound ? [{ atoms, explained }] : [];
  });
}
