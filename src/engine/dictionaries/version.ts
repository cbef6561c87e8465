import { createHash } from "node:crypto";
import type { DictionaryManifest } from "../core/dictionary.ts";
import { isObject, snakeCase } from "../core/json-object.ts";

/** A tensor as stored in its file. */
export interface StoredTensor {
  readonly name: string;
  /** Type in the file, such as "BF16". */
  readonly dtype: string;
  readonly shape: readonly number[];
  /** The stored bytes, in order. */
  readonly pieces: Iterable<Uint8Array>;
}

/** A hash takes less than 2 GiB at once. */
const HASHED_AT_ONCE = 1 << 30;

/**
 * Identity of a dictionary's version, hex. It depends exactly on everything that affects codes: SHA-256 over the
 * canonical JSON of kind, role, widths, layers, groups, blocks and encoder settings, then for each tensor, ordered by name, the
 * canonical JSON of its name, dtype and shape, and its stored bytes.
 */
export function versionDigest(
  { kind, role, dIn, dOut, m, layers, groups, blocks, encoder }: DictionaryManifest,
  tensors: readonly StoredTensor[],
): string {
  const widths = { d_in: dIn, d_out: dOut, m };
  const head = { kind, role, widths, layers, groups, blocks, encoder: snakeCase(encoder) };
  const hash = createHash("sha256").update(canonicalJson(head));
  for (const { name, dtype, shape, pieces } of tensors.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    hash.update(canonicalJson({ name, dtype, shape }));
    for (const piece of pieces) {
      for (let at = 0; at < piece.length; at += HASHED_AT_ONCE) hash.update(piece.subarray(at, at + HASHED_AT_ONCE));
    }
  }
  return hash.digest("hex");
}

/**
 * JSON by RFC 8785: no blanks, members ordered by UTF-16 code units. JSON.stringify writes numbers and strings as
 * required. Undefined members are left out.
 */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  if (!isObject(value)) return JSON.stringify(value);
  const members = Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, member]) => `${JSON.stringify(name)}:${canonicalJson(member)}`);
  return `{${members.join(",")}}`;
}
