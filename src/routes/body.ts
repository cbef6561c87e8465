import { Ajv } from "ajv";
import type { FastifyInstance, FastifyRequest, FastifySchemaCompiler } from "fastify";
import type { TSchema } from "typebox";
import type { Claim } from "./byte-ledger.ts";
import type { DictionaryStatus } from "../engine/engine.ts";
import { askForBody } from "./clients.ts";
import { type Inflater, inflaterFor } from "./codings.ts";
import type { Intake } from "./intake.ts";
import { type AppOptions, cancellationOf } from "./request-context.ts";
import { BODY_MEDIA, LINES_MEDIA, NPY_MEDIA, SHOWN } from "./media-types.ts";
import {
  type Body,
  type BodyForm,
  type BodyKind,
  type BodyOf,
  type BodyType,
  bareRowsOf,
  type OctetsForm,
  type Query,
  type Sizes,
} from "../codecs/read-body.ts";
import { fieldsOfQuery } from "../codecs/octets.ts";
import { WireError } from "../codecs/codec-error.ts";
import type { WirePool } from "./threads/pool.ts";
import { clientClosed } from "../engine/core/errors.ts";

declare module "fastify" {
  interface FastifyContextConfig {
    /** Kind of this route's body; absent: none. */
    body?: BodyKind;
    /** Whether it also takes lines, read as they arrive. */
    lines?: boolean;
  }
  interface FastifyRequest {
    /** performance.now() when its head was read. */
    started: number;
  }
}

/** Reads bodies of routes whose config names a {@link BodyKind}: bytes within the limits, inflated, then numbers. */
export function registerBodies(
  app: FastifyInstance,
  pool: WirePool,
  intake: Intake,
  { engine, limits, telemetry }: AppOptions,
): void {
  const read = async (request: FastifyRequest, type: BodyType): Promise<Body | undefined> => {
    const { body: kind } = request.routeOptions.config;
    if (kind === undefined) return undefined;
    const numbersAlone = hasFieldsInQuery(type);
    const bare = bareRowsOf(kind);
    if (numbersAlone && bare === undefined) throw notTaken(request);
    if (!numbersAlone && bare !== undefined) checkQuery(request);
    const inflater = inflaterFor(request.headers["content-encoding"]);
    const { bytes, claim } = await intake.read(request.raw, inflater);
    holdBody(request, claim);
    const started = performance.now();
    const body = await pool.read(kind, bytes, limits, formOf(request, type), cancellationOf(request));
    telemetry.stage("decode", request.span, started);
    return body;
  };

  const formOf = (request: FastifyRequest, type: BodyType): BodyForm => {
    const { id } = request.params as { id?: string };
    const sizes = largest(id === undefined ? engine.list() : [engine.status(id)]);
    if (!hasFieldsInQuery(type)) return { type, sizes };
    const { body: kind } = request.routeOptions.config;
    const width = kind && bareRowsOf(kind)?.width;
    const manifest = id === undefined ? undefined : engine.status(id).manifest;
    return { type, sizes, query: request.query as Query, width: (width && manifest?.[width]) ?? null };
  };

  const readLines = async (request: FastifyRequest): Promise<LinesBody | undefined> => {
    const { body: kind, lines } = request.routeOptions.config;
    if (kind === undefined) return undefined;
    if (!lines) throw notTaken(request);
    const inflater = inflaterFor(request.headers["content-encoding"]);
    const claim = intake.open();
    holdBody(request, claim);
    askForBody(request.raw);
    return {
      fields: fieldsOfQuery(request.query as Query),
      inflater,
      claim,
      full: (more) => intake.full(more, claim.bytes + more),
    };
  };

  app.removeAllContentTypeParsers();
  app.addContentTypeParser(LINES_MEDIA, readLines);
  for (const [media, type] of BODY_MEDIA) {
    app.addContentTypeParser(media, (request: FastifyRequest) => read(request, type));
  }
}

/** Sizes of the dictionary, or the largest that the body may name; null if none is known yet. */
function largest(dictionaries: readonly DictionaryStatus[]): Sizes | null {
  const known = dictionaries.flatMap(({ manifest }) => manifest ?? []);
  if (known.length === 0) return null;
  return { d: Math.max(...known.flatMap(({ dIn, dOut }) => [dIn, dOut])), m: Math.max(...known.map(({ m }) => m)) };
}

/** A body of lines: its fields are in the query, its rows still arriving. */
export interface LinesBody {
  readonly fields: Readonly<Record<string, unknown>>;
  /** Undoes its content-encoding; null without one. */
  readonly inflater: Inflater | null;
  /** For the lines in memory. */
  readonly claim: Claim;
  /** The refusal when that many more bytes do not fit. */
  readonly full: (more: number) => WireError;
}

export const isLines = (body: unknown): body is LinesBody =>
  typeof body === "object" && body !== null && "inflater" in body;

/** Whether a body of that type is numbers alone. */
const hasFieldsInQuery = (type: BodyType | undefined): type is OctetsForm["type"] =>
  type === "octet-stream" || type === "npy";

/** A content type that the route does not take. */
function notTaken(request: FastifyRequest): WireError {
  const { body: kind, lines } = request.routeOptions.config;
  const taken = ["application/json", "application/msgpack"];
  if (kind !== undefined && bareRowsOf(kind) !== undefined) taken.push("application/octet-stream", NPY_MEDIA);
  if (lines) taken.push(LINES_MEDIA);
  const message = `This route takes no ${request.headers["content-type"]?.slice(0, SHOWN)}: send ${taken.join(" or ")}.`;
  return new WireError("PURSUIT_UNSUPPORTED_MEDIA_TYPE", message);
}

/** Refuses query fields beside a body that has its own: ignoring them would give codes of another budget. */
function checkQuery({ query, headers, routeOptions }: FastifyRequest): void {
  const { properties = {} } = (routeOptions.schema?.querystring ?? {}) as { properties?: Record<string, unknown> };
  const field = Object.keys(query as Query).find((name) => name in properties);
  if (field === undefined) return;
  const message = `${field} is in the query, but the body is ${headers["content-type"]?.slice(0, SHOWN)}: put it into the body, beside inputs.`;
  throw new WireError("PURSUIT_INVALID_FIELD", message);
}

/** A fault of fields, with the whole schema that was checked: see {@link nearestField}. */
export interface InvalidFields extends Error {
  validation?: unknown;
  schema?: TSchema;
  /** The fields were in the query, where parts of a budget have their own names. */
  inQuery?: boolean;
}

/** No coercion and no stripping: the client's values are checked as they are. */
const ajv = new Ajv({ strict: false });

/**
 * A route's validator. It checks the fields of a body that {@link registerBodies} read; the rows are checked already.
 * Other parts of the request are checked by their schema.
 * @param whole the body's schema with its rows, to find misplaced fields
 */
export function fieldsValidator(schema: TSchema, whole = schema): FastifySchemaCompiler<unknown> {
  const validate = ajv.compile(schema);
  return ({ schema: part, httpPart, contentType = "" }) => {
    // For a body of bytes the query holds the fields, which are checked as such.
    if (httpPart === "querystring") return (value: unknown) => ({ value });
    if (httpPart !== "body") return ajv.compile(part as TSchema);
    return (body: Body) => {
      if (validate(body.fields)) return { value: body };
      const error: InvalidFields = new Error("The body is not valid.");
      error.validation = validate.errors;
      error.schema = whole;
      error.inQuery = contentType === LINES_MEDIA || hasFieldsInQuery(BODY_MEDIA.get(contentType));
      return { error };
    };
  };
}

/** The body of a route with that config. @throws WireError when none was sent */
export function bodyOf<K extends BodyKind>(request: FastifyRequest, _kind: K): BodyOf<K> {
  if (!request.body)
    throw new WireError(
      "PURSUIT_MALFORMED_BODY",
      "The body is empty; send a JSON object as content-type: application/json.",
    );
  return request.body as BodyOf<K>;
}

declare module "fastify" {
  interface FastifyRequest {
    /** Claim of the body's bytes. Released when the response closes, answered or not. */
    bodyClaim: Claim | null;
  }
}

/**
 * Keeps the claim of a body until its request is over.
 * @throws EngineError PURSUIT_CLIENT_CLOSED when it is over already: the client left while its body was read or
 *   inflated
 */
export function holdBody(request: FastifyRequest, claim: Claim): void {
  if (request.raw.socket.destroyed) {
    claim.release();
    throw clientClosed();
  }
  request.bodyClaim = claim;
}
