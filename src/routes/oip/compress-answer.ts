import type { FastifyReply, FastifyRequest } from "fastify";
import { acceptedCoding, type CodingName, CODINGS, varyByCoding } from "../codings.ts";

/** What the clients of the protocol unpack. */
const OFFERED = ["gzip", "deflate"] as const satisfies readonly CodingName[];

/**
 * The bytes of an answer, compressed as the request accepts.
 * @param from bytes from which they are; 0: never
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
