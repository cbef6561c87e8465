import { Ajv } from "ajv";
import type { FastifyInstance, FastifyRequest, FastifySchemaCompiler } from "fastify";
import type { TSchema } from "typebox";
import type { Intake } from "./intake.ts";
import type { AppOptions } from "./route-options.ts";
import type { Body, BodyKind, BodyOf } from "./wire/read-body.ts";
import { WireError } from "./wire/wire-error.ts";
import type { WirePool } from "./wire/wire-pool.ts";

declare module "fastify" {
  interface FastifyContextConfig {
    /** How the body of this route is read; absent: it takes none. */
    body?: BodyKind;
  }
  interface FastifyRequest {
    /** performance.now() when its head had been read. */
    started: number;
    /** Milliseconds that reading the body's bytes into numbers took. */
    decodeMilliseconds: number;
    /** Called once the request has been answered or its client has gone. */
    releaseBody: () => void;
  }
}

/** JSON bodies of routes whose config names a {@link BodyKind}: bytes within the limits, then numbers. */
export function registerBodies(app: FastifyInstance, pool: WirePool, intake: Intake, { limits }: AppOptions): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("application/json", async (request: FastifyRequest) => {
    const { body: kind } = request.routeOptions.config;
    if (kind === undefined) return undefined;
    if ((request.headers["content-encoding"] ?? "identity") !== "identity") {
      throw new WireError(
        "PURSUIT_UNSUPPORTED_MEDIA_TYPE",
        "Compressed bodies are not taken; send it without content-encoding.",
      );
    }
    const { bytes, release } = await intake.read(request.raw);
    request.releaseBody = release;
    const started = performance.now();
    const body = await pool.read(kind, bytes, limits);
    request.decodeMilliseconds = performance.now() - started;
    return body;
  });
}

/** Neither coerces nor strips: what a client sends is what is checked. */
const ajv = new Ajv({ strict: false });

/**
 * A route's validator: the fields of a body that {@link registerBodies} read are checked, the rows in it are by then.
 * Anything else of the request as its schema says.
 */
export function fieldsValidator(schema: TSchema): FastifySchemaCompiler<unknown> {
  const validate = ajv.compile(schema);
  return ({ schema: part, httpPart }) => {
    if (httpPart !== "body") return ajv.compile(part as TSchema);
    return (body: Body) => {
      if (validate(body.fields)) return { value: body };
      const error: Error & { validation?: unknown } = new Error("The body is not valid.");
      error.validation = validate.errors;
      return { error };
    };
  };
}

/** The body of a route with that config. @throws WireError where none was sent */
export function bodyOf<K extends BodyKind>(request: FastifyRequest, _kind: K): BodyOf<K> {
  if (!request.body)
    throw new WireError(
      "PURSUIT_MALFORMED_BODY",
      "The body is empty; send a JSON object as content-type: application/json.",
    );
  return request.body as BodyOf<K>;
}
