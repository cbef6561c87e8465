const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPENING = [0x5b, 0x7b] as const;
const CLOSING = [0x5d, 0x7d] as const;

/** Bytes looked at one by one before the C library is asked, whose call costs about as much. */
const NEAR = 64;

/**
 * Where JSON first nests objects and arrays deeper than `maxDepth`; −1 where it nowhere does.
 *
 * Numbers are most of a body of rows, and `indexOf` goes over them many times as fast as a loop. A body without any is
 * looked at byte by byte, so that nobody can make one call a byte of it.
 */
export function tooDeepAt(bytes: Uint8Array, maxDepth: number): number {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const next = new NextOf(buffer);
  let depth = 0;
  for (let i = next.from(0); i < buffer.length; i = next.from(i + 1)) {
    const byte = buffer[i]!;
    if (byte === QUOTE) i = endOfString(buffer, i + 1);
    else if (byte === OPENING[0] || byte === OPENING[1]) {
      if (++depth > maxDepth) return i;
    } else depth--;
  }
  return -1;
}

/** Finds the next quote or bracket. */
class NextOf {
  readonly #buffer: Buffer;
  /** Where each of them comes next, as far as it has been looked for. */
  readonly #places = [QUOTE, ...OPENING, ...CLOSING].map((byte) => ({ byte, at: -1 }));

  constructor(buffer: Buffer) {
    this.#buffer = buffer;
  }

  /** Its place from `start` on; the buffer's length where there is none. */
  from(start: number): number {
    const buffer = this.#buffer;
    const near = Math.min(start + NEAR, buffer.length);
    for (let i = start; i < near; i++) {
      const byte = buffer[i]!;
      if (byte === QUOTE || byte === OPENING[0] || byte === OPENING[1] || byte === CLOSING[0] || byte === CLOSING[1]) {
        return i;
      }
    }
    let first = buffer.length;
    for (const place of this.#places) {
      if (place.at < near) {
        const at = buffer.indexOf(place.byte, near);
        place.at = at < 0 ? buffer.length : at;
      }
      first = Math.min(first, place.at);
    }
    return first;
  }
}

/** The closing quote of a string whose content begins at `start`; an escaped character goes with its backslash. */
function endOfString(buffer: Buffer, start: number): number {
  for (let i = start; ;) {
    for (const near = i + NEAR; i < near; i++) {
      if (i >= buffer.length || buffer[i] === QUOTE) return i;
      if (buffer[i] === BACKSLASH) i++;
    }
    const quote = buffer.indexOf(QUOTE, i);
    if (quote < 0) return buffer.length;
    let backslashes = 0;
    while (quote - backslashes > i && buffer[quote - backslashes - 1] === BACKSLASH) backslashes++;
    if (backslashes % 2 === 0) return quote;
    i = quote + 1;
  }
}
