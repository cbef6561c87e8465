import { type DictionaryManifest, makesItsRow } from "../core/dictionary.ts";
import type { CodesToDecode } from "../core/sparse-codes.ts";
import { EngineError } from "../core/errors.ts";
import type { OnePassSettings } from "../encoders/one-pass.ts";
import { checkGroup } from "./check-encode.ts";

/**
 * Checks posted codes: an index beyond the dictionary would read past the atoms.
 * @throws EngineError PURSUIT_INVALID_CODE naming the row
 */
export function checkCodes(codes: CodesToDecode, { m, dIn, role, encoder }: DictionaryManifest): void {
  const { count, norm, inputs } = codes;
  checkIndices(codes, m);
  checkInputs(inputs, count, dIn, (encoder as Partial<OnePassSettings>).skip ?? false);
  // A transcoder's input norm is not undone: its output is another activation.
  const normed = encoder.inputNorm !== "none" && makesItsRow(role);
  if (normed && norm === undefined) {
    throw invalid(
      `this dictionary norms its input (${encoder.inputNorm}): each code must carry the "norm" that encode gave.`,
    );
  }
  if (!normed && norm !== undefined) {
    throw invalid('this dictionary does not norm its input: leave "norm" out.');
  }
}

/**
 * Checks the entries of posted codes: none beyond the dictionary, none twice, all finite.
 * @param field where they are, for the error
 * @throws EngineError PURSUIT_INVALID_CODE naming the row
 */
export function checkIndices(
  { count, indptr, indices, values }: Pick<CodesToDecode, "count" | "indptr" | "indices" | "values">,
  m: number,
  field = "codes",
): void {
  if (indptr.length !== count + 1 || indices.length !== values.length || indptr[count] !== indices.length) {
    throw invalid(`indices and values must be of one length in every row.`, field);
  }
  // The last row that named each feature, counted from 1: millions of entries are checked on the main thread.
  const namedBy = new Uint32Array(m);
  for (let row = 0; row < count; row++) {
    const from = indptr[row]!;
    const to = indptr[row + 1]!;
    for (let k = from; k < to; k++) {
      const index = indices[k]!;
      if (index >= m)
        throw invalid(`row ${row} names feature ${index}; the dictionary has features 0 to ${m - 1}.`, field);
      if (namedBy[index] === row + 1)
        throw invalid(`row ${row} names feature ${index} twice; sum its values into one entry.`, field);
      if (!Number.isFinite(values[k]!))
        throw invalid(`row ${row}, feature ${index} is ${values[k]}; values must be finite float32.`, field);
      namedBy[index] = row + 1;
    }
  }
}

/** Codes without the atoms beyond their group. @throws EngineError PURSUIT_BUDGET_OUT_OF_RANGE */
export function codesOfGroup(codes: CodesToDecode, { groups = [] }: DictionaryManifest): CodesToDecode {
  const { count, indptr, indices, values, group } = codes;
  if (group === undefined) return codes;
  checkGroup(group, groups, "group");
  const kept = { indptr: new Uint32Array(count + 1), indices: indices.slice(), values: values.slice() };
  let length = 0;
  for (let row = 0; row < count; row++) {
    for (let k = indptr[row]!; k < indptr[row + 1]!; k++) {
      if (indices[k]! >= group) continue;
      kept.indices[length] = indices[k]!;
      kept.values[length++] = values[k]!;
    }
    kept.indptr[row + 1] = length;
  }
  return { ...codes, ...kept, indices: kept.indices.subarray(0, length), values: kept.values.subarray(0, length) };
}

/** Checks rows beside codes, needed if decode adds a product of them. */
function checkInputs(inputs: Float32Array | undefined, count: number, dIn: number, skip: boolean): void {
  if (inputs === undefined) {
    if (skip)
      throw invalid(
        'this transcoder adds a product of the row that was encoded (skip): send the rows as "inputs", too.',
      );
    return;
  }
  if (!skip) throw invalid('this dictionary decodes codes alone: leave "inputs" out.');
  if (inputs.length !== count * dIn)
    throw invalid(`inputs are ${inputs.length / count} wide; the dictionary takes rows of ${dIn}.`);
  const bad = inputs.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0) throw invalid(`inputs, row ${Math.floor(bad / dIn)}, column ${bad % dIn} is ${inputs[bad]}.`);
}

/**
 * Checks that sums of values stay within float32: JSON has no other numbers.
 * @throws EngineError PURSUIT_INVALID_CODE naming the row
 */
export function checkDecoded(rows: Float32Array, d: number): void {
  for (let i = 0; i < rows.length; i++) {
    if (!Number.isFinite(rows[i]!))
      throw invalid(`row ${Math.floor(i / d)}, column ${i % d} adds up to more than float32 holds.`);
  }
}

const invalid = (message: string, field = "codes"): EngineError =>
  new EngineError("PURSUIT_INVALID_CODE", `${field}: ${message}`);

/** @throws EngineError PURSUIT_ROLE_MISMATCH; PURSUIT_NOT_TRANSFERABLE for different numbers of atoms */
export function checkPair(
  ids: { readonly from: string; readonly to: string },
  from: DictionaryManifest,
  to: DictionaryManifest,
): void {
  for (const [id, { role }] of [
    [ids.from, from],
    [ids.to, to],
  ] as const) {
    if (role === "autoencoder") continue;
    const message = `Dictionary ${id} is a ${role}; rows are carried between autoencoders, which encode and decode one space.`;
    throw new EngineError("PURSUIT_ROLE_MISMATCH", message);
  }
  if (from.m === to.m) return;
  const message = `Dictionary ${ids.from} has ${from.m} atoms and ${ids.to} has ${to.m}; atom j of one stands for atom j of the other, so both need the same.`;
  throw new EngineError("PURSUIT_NOT_TRANSFERABLE", message);
}

/**
 * Norms for decode under an input norm. The shift and scale of the first dictionary's rows do not apply to the second,
 * whose original rows never existed: outputs stay in its normed space.
 */
export function unnormed(count: number, { encoder }: DictionaryManifest): Pick<CodesToDecode, "norm"> {
  if (encoder.inputNorm === "none") return {};
  return { norm: { shift: new Float32Array(count), scale: new Float32Array(count).fill(1) } };
}
