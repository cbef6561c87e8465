import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import Type, { type TSchema } from "typebox";

/** Parameters in the protocol's paths. */
export interface V2Params {
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

export const V2ErrorSchema = Type.Object({ error: Type.String() });
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
