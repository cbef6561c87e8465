import type { DictionaryManifest } from "../core/dictionary.ts";
import type { CodesToDecode } from "../core/sparse-codes.ts";
import { EngineError } from "../core/errors.ts";

/**
 * Codes come from outside: an index beyond the dictionary would read past the atoms.
 * @throws EngineError PURSUIT_INVALID_CODE naming the row.
 */
export function checkCodes(
  { count, indptr, indices, values, norm }: CodesToDecode,
  { m, encoder }: DictionaryManifest,
): void {
  if (indptr.length !== count + 1 || indices.length !== values.length || indptr[count] !== indices.length) {
    throw invalid("indices and values must be of one length in every row.");
  }
  for (let row = 0; row < count; row++) {
    const from = indptr[row]!;
    const to = indptr[row + 1]!;
    const seen = new Set<number>();
    for (let k = from; k < to; k++) {
      const index = indices[k]!;
      if (index >= m) throw invalid(`row ${row} names feature ${index}; the dictionary has features 0 to ${m - 1}.`);
      if (seen.has(index)) throw invalid(`row ${row} names feature ${index} twice; sum its values into one entry.`);
      if (!Number.isFinite(values[k]!))
        throw invalid(`row ${row}, feature ${index} is ${values[k]}; values must be finite float32.`);
      seen.add(index);
    }
  }
  if (encoder.inputNorm !== "none" && norm === undefined) {
    throw invalid(
      `this dictionary norms its input (${encoder.inputNorm}): each code must carry the "norm" that encode gave.`,
    );
  }
  if (encoder.inputNorm === "none" && norm !== undefined) {
    throw invalid('this dictionary does not norm its input: leave "norm" out.');
  }
}

/**
 * Values that float32 holds may add up to one that it does not, and JSON has no number for that.
 * @throws EngineError PURSUIT_INVALID_CODE naming the row.
 */
export function checkDecoded(rows: Float32Array, d: number): void {
  for (let i = 0; i < rows.length; i++) {
    if (!Number.isFinite(rows[i]!))
      throw invalid(`row ${Math.floor(i / d)}, column ${i % d} adds up to more than float32 holds.`);
  }
}

const invalid = (message: string): EngineError => new EngineError("PURSUIT_INVALID_CODE", `codes: ${message}`);
