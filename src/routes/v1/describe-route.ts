import type { FastifySchema } from "fastify";
import Type, { type TSchema } from "typebox";
import { DICTIONARY_ID_PATTERN } from "../../engine/core/dictionary.ts";
import { PROBLEM_SCHEMA_ID } from "./schemas.ts";

export interface RouteDescription {
  readonly summary: string;
  readonly operationId: string;
  /** Whether the path names a dictionary. */
  readonly id?: boolean;
  readonly params?: Readonly<Record<string, TSchema>>;
  /** By content type. A type without a schema here is not validated, so list every accepted one. */
  readonly body?: Readonly<Record<string, TSchema>>;
  readonly query?: TSchema;
  /** Absent: 204, without a body. */
  readonly answer?: TSchema;
  readonly contentType?: string;
  /** The same answer in other content types. */
  readonly answers?: Readonly<Record<string, TSchema>>;
  /** Error statuses beside those of every route. */
  readonly problems?: readonly number[];
  /** Statuses with an answer of their own form. */
  readonly others?: Readonly<Record<number, TSchema>>;
  /** Whether it answers 304 to clients that have it already (RFC 9110 §13.1.2). */
  readonly conditional?: boolean;
  readonly tag?: string;
}

const PROBLEM = {
  description: "Problem",
  content: { "application/problem+json": { schema: { $ref: `${PROBLEM_SCHEMA_ID}#` } } },
};

/**
 * Of every route except health and metrics: no key, no such answer, too many requests, closing. Then those of routes
 * with a body.
 */
const EVERYWHERE = [401, 406, 429, 503];
const WITH_BODY = [400, 408, 413, 415, 422];

const contentOf = (schemas: Readonly<Record<string, TSchema>>): Record<string, { schema: TSchema }> =>
  Object.fromEntries(Object.entries(schemas).map(([type, schema]) => [type, { schema }]));

/** A route's schema, with bodies and answers by content type. Answers over 1 kB are written as text, unvalidated. */
export function describeRoute(route: RouteDescription): FastifySchema {
  const { contentType = "application/json", tag = "dictionaries", others = {} } = route;
  const problems = [
    ...(tag === "operations" ? [] : EVERYWHERE),
    ...(route.body ? WITH_BODY : []),
    ...(route.problems ?? []),
  ];
  const params = { ...(route.id && { id: Type.String({ pattern: DICTIONARY_ID_PATTERN }) }), ...route.params };
  return {
    summary: route.summary,
    operationId: route.operationId,
    tags: [tag],
    ...(Object.keys(params).length > 0 && { params: Type.Object(params) }),
    ...(route.query && { querystring: route.query }),
    ...(route.body && { body: { content: contentOf(route.body) } }),
    response: {
      ...(route.answer
        ? { 200: { description: "", content: contentOf({ [contentType]: route.answer, ...route.answers }) } }
        : { 204: { description: "", type: "null" } }),
      ...(route.conditional && { 304: { description: "Unchanged: if-none-match names its etag", type: "null" } }),
      ...Object.fromEntries(problems.map((status) => [status, PROBLEM])),
      ...Object.fromEntries(
        Object.entries(others).map(([status, schema]) => [
          status,
          { description: "", content: { [contentType]: { schema } } },
        ]),
      ),
    },
  };
}
