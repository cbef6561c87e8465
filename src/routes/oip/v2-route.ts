import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import Type, { type TSchema } from "typebox";
import { type Problem, PROBLEMS, sayRetryAfter } from "../problem.ts";
import type { DictionaryManifest } from "../../engine/core/dictionary.ts";
import type { DictionaryStatus } from "../../engine/engine.ts";
import { EngineError } from "../../engine/core/errors.ts";
import { acceptedCoding, type CodingName, CODINGS, varyByCoding } from "../codings.ts";

/** Parameters in the protocol's paths. */
interface V2Params {
  readonly model: string;
}

export type V2Request = FastifyRequest<{ Params: V2Params }>;

/** One route of the protocol. Each of its paths takes one method. */
export interface V2Route {
  readonly method: "GET" | "POST";
  /** Below /v2. If it contains {@link VERSION_PLACE}, the route is also at …/versions/1. */
  readonly path: string;
  readonly summary: string;
  readonly operationId: string;
  /** Whether it changes what is served: a management call. */
  readonly management?: boolean;
  /** Whether its rows wait in the queue of the dictionary in its path. */
  readonly queues?: boolean;
  readonly body?: TSchema;
  readonly answer: TSchema;
  readonly handle: (request: V2Request, reply: FastifyReply) => unknown;
}

/** The only version of every dictionary: a folder holds one, and a load replaces it. */
export const VERSION = "1";

/** Place of the optional version in a path. */
export const VERSION_PLACE = "{/version}";

const V2ErrorSchema = Type.Object({ error: Type.String() }, { title: "V2Error" });
const ERROR = { description: "Error", content: { "application/json": { schema: V2ErrorSchema } } };

/** Adds a route, and its twin with the version in its path. */
export function addV2Route(app: FastifyInstance, route: V2Route): void {
  const { method, path, summary, operationId, management = false, queues = false, body, answer, handle } = route;
  const schema = {
    summary,
    operationId,
    tags: ["open inference protocol"],
    ...(body && { body: { content: { "application/json": { schema: body } } } }),
    response: {
      200: { description: "", content: { "application/json": { schema: answer } } },
      default: ERROR,
    },
  };
  const urls = path.includes(VERSION_PLACE)
    ? [path.replace(VERSION_PLACE, ""), path.replace(VERSION_PLACE, "/versions/:version")]
    : [path];
  for (const [i, url] of urls.entries()) {
    app.route<{ Params: V2Params }>({
      method,
      url,
      config: { management, queues },
      schema: i === 0 ? schema : { hide: true },
      // The codecs read bodies, with better messages than a validator.
      validatorCompiler: () => (value: unknown) => ({ value }),
      handler: handle,
    });
  }
}

/** Without a charset: KServe's client reads an error's text only then. */
export const JSON_TYPE = "application/json";

/** JSON as bytes: Fastify would add a charset to text and objects. */
const jsonBytes = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

export function sendJson(reply: FastifyReply, value: unknown): FastifyReply {
  return reply.type(JSON_TYPE).send(jsonBytes(value));
}

/** Sends `{"error": "…"}` with the error's usual status; x-request-id identifies the request. */
export function sendV2Error(reply: FastifyReply, { code, detail, retryAfter }: Problem): FastifyReply {
  if (retryAfter !== undefined) sayRetryAfter(reply, retryAfter);
  void reply.code(PROBLEMS[code].status);
  return sendJson(reply, { error: detail });
}

/** Returns a dictionary's manifest. @throws EngineError when its folder was not, or could not be, read */
export function manifestOf({ id, manifest, faults, state }: DictionaryStatus): DictionaryManifest {
  if (manifest !== undefined) return manifest;
  if (state === "failed") {
    const message = `Dictionary ${id} could not be loaded: ${faults.join(" ")}`;
    throw new EngineError("PURSUIT_DICTIONARY_FAILED", message);
  }
  throw new EngineError("PURSUIT_NOT_READY", `Dictionary ${id} is still being loaded.`, { retryAfter: 1 });
}

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
