import { promisify } from "node:util";
import { constants, deflate, gunzip, gzip, inflate } from "node:zlib";
import type { FastifyReply, FastifyRequest } from "fastify";
import { WireError } from "../wire/wire-error.ts";

const INFLATERS = { gzip: promisify(gunzip), deflate: promisify(inflate) } as const;
const DEFLATERS = { gzip: promisify(gzip), deflate: promisify(deflate) } as const;

/** Names of content-encoding that are understood, the preferred one first. */
const CODINGS = ["gzip", "deflate"] as const;
type Coding = (typeof CODINGS)[number];

/** An answer shorter than this goes out as it is: it is one packet either way. */
const WORTH_COMPRESSING = 1024;

/**
 * The bytes of a body as they were before its content-encoding.
 * @param maxBody bytes at most: a few kilobytes of gzip may hold gigabytes
 * @throws WireError PURSUIT_UNSUPPORTED_MEDIA_TYPE, PURSUIT_BODY_TOO_LARGE, PURSUIT_MALFORMED_BODY
 */
export async function inflated(
  bytes: Uint8Array<ArrayBuffer>,
  encoding: string | undefined,
  maxBody: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const given = (encoding ?? "identity").trim().toLowerCase();
  if (given === "identity" || given === "") return bytes;
  const coding = CODINGS.find((one) => one === given);
  if (coding === undefined) {
    throw new WireError(
      "PURSUIT_UNSUPPORTED_MEDIA_TYPE",
      `The content-encoding ${JSON.stringify(given.slice(0, 60))} is not taken; there are ${CODINGS.join(" and ")}.`,
    );
  }
  try {
    // Its own memory, and not a shared pool's: it may be moved to another thread.
    return new Uint8Array(await INFLATERS[coding](bytes, { maxOutputLength: maxBody }));
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ERR_BUFFER_TOO_LARGE") {
      throw new WireError("PURSUIT_BODY_TOO_LARGE", `The body is over ${maxBody} bytes once it is inflated.`);
    }
    throw new WireError("PURSUIT_MALFORMED_BODY", `The body is not ${coding}: ${message}.`);
  }
}

/** Sends bytes, compressed as the request accepts. */
export async function sendCompressed(
  request: FastifyRequest,
  reply: FastifyReply,
  bytes: Uint8Array,
): Promise<FastifyReply> {
  void reply.header("vary", "accept-encoding");
  const accepted = bytes.length < WORTH_COMPRESSING ? false : request.accepts().encoding([...CODINGS, "identity"]);
  const coding = CODINGS.find((one): one is Coding => one === accepted);
  if (coding === undefined) return reply.send(bytes);
  // Numbers hardly compress: the first level gets most of what there is to get, at a tenth of the time.
  const compressed = await DEFLATERS[coding](bytes, { level: constants.Z_BEST_SPEED });
  return reply.header("content-encoding", coding).send(compressed);
}
