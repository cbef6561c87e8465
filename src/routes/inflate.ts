import { createBrotliDecompress, createGunzip, createInflate } from "node:zlib";
import type { Transform } from "node:stream";
import { WireError } from "../codecs/codec-error.ts";

/** Content codings of bodies (RFC 9110 §8.4.1); `deflate` is zlib's format, as the RFC says. */
const INFLATERS: Readonly<Record<string, () => Transform>> = {
  gzip: createGunzip,
  "x-gzip": createGunzip,
  deflate: createInflate,
  br: createBrotliDecompress,
};

/**
 * What undoes a body's content-encoding; null where there is none.
 * @throws WireError PURSUIT_UNSUPPORTED_MEDIA_TYPE
 */
export function inflaterFor(contentEncoding: string | undefined): Transform | null {
  const coding = (contentEncoding ?? "identity").trim().toLowerCase();
  if (coding === "identity" || coding === "") return null;
  const create = Object.hasOwn(INFLATERS, coding) ? INFLATERS[coding] : undefined;
  if (create !== undefined) return create();
  throw new WireError(
    "PURSUIT_UNSUPPORTED_MEDIA_TYPE",
    `A body is taken in content-encoding gzip, deflate or br, once, or in none; this one is ${coding.slice(0, 60)}.`,
  );
}
