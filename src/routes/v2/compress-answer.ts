import { promisify } from "node:util";
import { constants, deflate, gzip } from "node:zlib";
import type { FastifyReply, FastifyRequest } from "fastify";

const DEFLATERS = { gzip: promisify(gzip), deflate: promisify(deflate) } as const;

/** Names of content-encoding that answers have, the preferred one first. */
const CODINGS = ["gzip", "deflate"] as const;
type Coding = (typeof CODINGS)[number];

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
  void reply.header("vary", "accept-encoding");
  const accepted = bytes.length < from ? false : request.accepts().encoding([...CODINGS, "identity"]);
  const coding = CODINGS.find((one): one is Coding => one === accepted);
  if (coding === undefined) return bytes;
  // Numbers hardly compress: the first level gets most of what there is to get, at a tenth of the time.
  const compressed = await DEFLATERS[coding](bytes, { level: constants.Z_BEST_SPEED });
  void reply.header("content-encoding", coding);
  return compressed;
}
