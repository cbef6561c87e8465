import { pipeline, Readable } from "node:stream";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { acceptedCoding, CODING_NAMES, CODINGS, varyByCoding } from "./codings.ts";
import { pathOf } from "./request-span.ts";
import type { AppOptions } from "./route-options.ts";

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
