import { pipeline, Readable, type Transform } from "node:stream";
import { promisify } from "node:util";
import {
  brotliCompress,
  constants,
  createBrotliCompress,
  createBrotliDecompress,
  createDeflate,
  createGunzip,
  createGzip,
  createInflate,
  deflate,
  gzip,
} from "node:zlib";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { pathOf } from "./request-span.ts";
import type { AppOptions } from "./request-context.ts";
import { WireError } from "../codecs/codec-error.ts";

/** The fastest level: an answer is compressed and sent once, and decimal floats hardly shrink further. */
const ZLIB = { level: 1 };
const BROTLI = { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } };

interface Coding {
  /** Runs on a thread of Node's pool. */
  readonly whole: (bytes: Uint8Array | string) => Promise<Buffer>;
  /** Flushes each write, so that a line does not wait for later ones. */
  readonly stream: () => Transform;
}

const gzipped = promisify(gzip);
const deflated = promisify(deflate);
const brotlied = promisify(brotliCompress);

/** Content-encodings of answers, the preferred one first. */
export const CODINGS = {
  gzip: {
    whole: (bytes) => gzipped(bytes, ZLIB),
    stream: () => createGzip({ ...ZLIB, flush: constants.Z_SYNC_FLUSH }),
  },
  br: {
    whole: (bytes) => brotlied(bytes, BROTLI),
    stream: () => createBrotliCompress({ ...BROTLI, flush: constants.BROTLI_OPERATION_FLUSH }),
  },
  deflate: {
    whole: (bytes) => deflated(bytes, ZLIB),
    stream: () => createDeflate({ ...ZLIB, flush: constants.Z_SYNC_FLUSH }),
  },
} as const satisfies Record<string, Coding>;

export type CodingName = keyof typeof CODINGS;

const CODING_NAMES = Object.keys(CODINGS) as readonly CodingName[];

/** The offered coding that the client prefers (RFC 9110 §12.5.3); none if it prefers plain bytes. */
export function acceptedCoding(request: FastifyRequest, offered: readonly CodingName[]): CodingName | undefined {
  const name = request.accepts().encoding([...offered, "identity"]);
  return offered.find((one) => one === name);
}

/** Tells caches that the answer depends on accept-encoding, beside existing dependencies (CORS: the origin). */
export function varyByCoding(reply: FastifyReply): void {
  const before = reply.getHeader("vary");
  void reply.header("vary", before === undefined ? "accept-encoding" : `${String(before)}, accept-encoding`);
}

/** Text types. Binary numbers hardly shrink, and take longer to unpack than to read. */
const TEXT = /^application\/(?:json|x-ndjson)\b/;

/** Compresses text answers of `/v1` from `compressFrom` bytes on, in a coding that the client accepts. */
export function registerCompression(app: FastifyInstance, { limits: { compressFrom } }: AppOptions): void {
  if (compressFrom === 0) return;
  app.addHook("onSend", (request, reply, payload, next): Promise<unknown> | void => {
    if (!isWorthIt(payload, compressFrom) || !pathOf(request).startsWith("/v1/")) return next();
    if (!TEXT.test(String(reply.getHeader("content-type")))) return next();
    return pack(request, reply, payload);
  });
}

async function pack(
  request: FastifyRequest,
  reply: FastifyReply,
  payload: string | Uint8Array | Readable,
): Promise<string | Uint8Array | Readable> {
  varyByCoding(reply);
  if (request.headers["accept-encoding"] === undefined) return payload;
  const name = acceptedCoding(request, CODING_NAMES);
  if (name === undefined) return payload;
  const coding = CODINGS[name];
  void reply.header("content-encoding", name).removeHeader("content-length");
  if (!(payload instanceof Readable)) return coding.whole(payload);
  const packed = coding.stream();
  // If either side ends, by a disconnect or an error, the other ends too.
  pipeline(payload, packed, () => {});
  return packed;
}

const isWorthIt = (payload: unknown, from: number): payload is string | Uint8Array | Readable =>
  payload instanceof Readable ||
  ((typeof payload === "string" || payload instanceof Uint8Array) && payload.length >= from);

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
