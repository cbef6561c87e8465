import type { FastifyReply, FastifyRequest } from "fastify";
import { acceptedCoding, type CodingName, CODINGS, varyByCoding } from "../codings.ts";

/** Codings that the protocol's clients can unpack. */
const OFFERED = ["gzip", "deflate"] as const satisfies readonly CodingName[];

/**
 * Compresses an answer in a coding that the request accepts.
 * @param from smallest number of bytes to compress; 0: never
 */
export async function compressAnswer(
  request: FastifyRequest,
  reply: FastifyReply,
  bytes: Uint8Array,
  from: number,
): Promise<Uint8Array> {
  if (from === 0) return bytes;
  varyByCoding(reply);
  const coding = bytes.length < from ? undefined : acceptedCoding(request, OFFERED);
  if (coding === undefined) return bytes;
  void reply.header("content-encoding", coding);
  return CODINGS[coding].whole(bytes);
}
