import { pipeline, Readable, type Transform } from "node:stream";
import { promisify } from "node:util";
import { brotliCompress, constants, createBrotliCompress, createDeflate, createGzip, deflate, gzip } from "node:zlib";
import type { FastifyInstance } from "fastify";
import type { AppOptions } from "./route-options.ts";

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

const CODINGS: Readonly<Record<string, Coding>> = {
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
};

/** What is text: numbers as bytes hardly shrink, and take longer to unpack than to read. */
const TEXT = /^application\/(?:json|x-ndjson)\b/;

/** Answers of `/v1` in text, from `compressFrom` bytes on, in a coding that the client accepts. */
export function registerCompression(app: FastifyInstance, { limits: { compressFrom } }: AppOptions): void {
  if (compressFrom === 0) return;
  app.addHook("onSend", async (request, reply, payload) => {
    if (!isWorthIt(payload, compressFrom) || !request.url.startsWith("/v1/")) return payload;
    if (!TEXT.test(String(reply.getHeader("content-type")))) return payload;
    void reply.header("vary", "accept-encoding");
    if (request.headers["accept-encoding"] === undefined) return payload;
    const name = request.accepts().encoding([...Object.keys(CODINGS), "identity"]);
    const coding = typeof name === "string" ? CODINGS[name] : undefined;
    if (coding === undefined) return payload;
    void reply.header("content-encoding", name).removeHeader("content-length");
    if (!(payload instanceof Readable)) return coding.whole(payload);
    const packed = coding.stream();
    // Whichever ends first ends the other: a client that has gone, or an answer that failed.
    pipeline(payload, packed, () => {});
    return packed;
  });
}

const isWorthIt = (payload: unknown, from: number): payload is string | Uint8Array | Readable =>
  payload instanceof Readable ||
  ((typeof payload === "string" || payload instanceof Uint8Array) && payload.length >= from);
