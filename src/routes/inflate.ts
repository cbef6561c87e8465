import { createBrotliDecompress, createGunzip, createInflate } from "node:zlib";
import type { Transform } from "node:stream";
import { WireError } from "../codecs/codec-error.ts";

/** Undoes a content-encoding. */
export interface Inflater extends Transform {
  /** Compressed bytes processed so far. */
  readonly bytesWritten: number;
}

/** Bytes that any compressed body may inflate to; beyond that, times its own length. */
const FREE_BYTES = 1 << 20;
const MAX_RATIO = 100;

/** Content codings of bodies (RFC 9110 §8.4.1); `deflate` is zlib's format, as the RFC defines. */
const INFLATERS: Readonly<Record<string, () => Inflater>> = {
  gzip: createGunzip,
  "x-gzip": createGunzip,
  deflate: createInflate,
  br: createBrotliDecompress,
};

/**
 * Returns the inverse of a content-encoding; null without one.
 * @throws WireError PURSUIT_UNSUPPORTED_MEDIA_TYPE
 */
export function inflaterFor(contentEncoding: string | undefined): Inflater | null {
  const coding = (contentEncoding ?? "identity").trim().toLowerCase();
  if (coding === "identity" || coding === "") return null;
  const create = Object.hasOwn(INFLATERS, coding) ? INFLATERS[coding] : undefined;
  if (create !== undefined) return create();
  throw new WireError(
    "PURSUIT_UNSUPPORTED_MEDIA_TYPE",
    `A body is taken in content-encoding gzip, deflate or br, once, or in none; this one is ${coding.slice(0, 60)}.`,
  );
}

/**
 * Checks the ratio chunk by chunk. Rows as text inflate two- or threefold, zeros a hundredfold, and brotli makes 64 MiB
 * of 91 bytes.
 * @throws WireError PURSUIT_BODY_TOO_LARGE
 */
export function checkInflation({ bytesWritten: packed }: Inflater, inflated: number): void {
  if (inflated <= FREE_BYTES + packed * MAX_RATIO) return;
  throw new WireError(
    "PURSUIT_BODY_TOO_LARGE",
    `The first ${packed} bytes of the compressed body inflate to over ${inflated} bytes; at most ${MAX_RATIO} times their length are taken beyond ${FREE_BYTES} bytes. Send it uncompressed.`,
  );
}
