import type { Transform } from "node:stream";
import { promisify } from "node:util";
import { brotliCompress, constants, createBrotliCompress, createDeflate, createGzip, deflate, gzip } from "node:zlib";
import type { FastifyReply, FastifyRequest } from "fastify";

/** The quickest setting of each: an answer is printed once and sent once, and text of floats has little to find. */
const ZLIB = { level: 1 };
const BROTLI = { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } };

interface Coding {
  /** On a thread of Node's own pool. */
  readonly whole: (bytes: Uint8Array | string) => Promise<Buffer>;
  /** Flushes what is written, so that a line does not wait for the next ones. */
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

/** Which of those offered the client accepts most (RFC 9110 §12.5.3); none where it would rather have plain bytes. */
export function acceptedCoding(request: FastifyRequest, offered: readonly CodingName[]): CodingName | undefined {
  const name = request.accepts().encoding([...offered, "identity"]);
  return offered.find((one) => one === name);
}

/** Says to caches that the answer depends on accept-encoding, beside what it depends on already (CORS: the origin). */
export function varyByCoding(reply: FastifyReply): void {
  const before = reply.getHeader("vary");
  void reply.header("vary", before === undefined ? "accept-encoding" : `${String(before)}, accept-encoding`);
}
