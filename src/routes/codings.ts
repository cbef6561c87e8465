import type { Transform } from "node:stream";
import { promisify } from "node:util";
import { brotliCompress, constants, createBrotliCompress, createDeflate, createGzip, deflate, gzip } from "node:zlib";
import type { FastifyReply, FastifyRequest } from "fastify";

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

export const CODING_NAMES = Object.keys(CODINGS) as readonly CodingName[];

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
