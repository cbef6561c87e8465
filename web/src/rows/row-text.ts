/** Rows as text: pasted by a person, and short enough for an address. */

/** Bytes of a row that an address may hold. */
const MAX_LINK_BYTES = 8192;

/**
 * Numbers of a pasted row: a JSON array, or numbers between spaces, commas or line ends.
 * @throws Error that names the first word that is no number
 */
export function parseNumbers(text: string): Float32Array<ArrayBuffer> {
  const words = text
    .replaceAll(/[[\](){},;\s]+/g, " ")
    .replaceAll(/\b(?:array|tensor|np)\b\.?/g, " ")
    .trim();
  if (words === "") throw new Error("Paste the numbers of one row.");
  const parts = words.split(/\s+/);
  const bad = parts.findIndex((part) => !Number.isFinite(Number(part)));
  if (bad >= 0)
    throw new Error(`Number ${bad + 1} is ${JSON.stringify(parts[bad]!.slice(0, 30))}. Paste finite numbers only.`);
  return Float32Array.from(parts, Number);
}

/** A row as base64url of little-endian float32, for an address; null if it is too long for one. */
export function rowToText(row: Float32Array): string | null {
  if (row.byteLength > MAX_LINK_BYTES) return null;
  const bytes = new Uint8Array(row.byteLength);
  const view = new DataView(bytes.buffer);
  for (const [i, value] of row.entries()) view.setFloat32(4 * i, value, true);
  const text = btoa(Array.from(bytes, (byte) => String.fromCodePoint(byte)).join(""));
  return text.replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

/** The inverse; null if the text is none. */
export function rowFromText(text: string): Float32Array | null {
  try {
    const packed = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
    if (packed.length === 0 || packed.length % 4 !== 0) return null;
    const view = new DataView(Uint8Array.from(packed, (char) => char.codePointAt(0)!).buffer);
    return Float32Array.from({ length: packed.length / 4 }, (_, i) => view.getFloat32(4 * i, true));
  } catch {
    return null;
  }
}

/** Shortest decimals that are the same float32. */
export const shortNumbers = (row: Iterable<number>): number[] => Array.from(row, shortNumber);

function shortNumber(value: number): number {
  for (let digits = 6; digits < 10; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === Math.fround(value)) return short;
  }
  return value;
}
