import type { FastifySchema } from "fastify";
import Type, { type TSchema } from "typebox";
import { DICTIONARY_ID_PATTERN } from "../engine/dictionary.ts";
import { PROBLEM_SCHEMA_ID } from "./schemas.ts";

export interface RouteDescription {
  readonly summary: string;
  readonly operationId: string;
  /** Whether the path names a dictionary. */
  readonly id?: boolean;
  readonly params?: Readonly<Record<string, TSchema>>;
  readonly body?: TSchema;
  readonly query?: TSchema;
  /** Absent: 204, without a body. */
  readonly answer?: TSchema;
  readonly contentType?: string;
  /** Refusals, each answered as a problem. */
  readonly problems?: readonly number[];
  /** Statuses that answer in a shape of their own. */
  readonly others?: Readonly<Record<number, TSchema>>;
  readonly tag?: string;
}

const PROBLEM = {
  description: "Problem",
  content: { "application/problem+json": { schema: { $ref: `${PROBLEM_SCHEMA_ID}#` } } },
};

/** A route's schema, bodies and answers described by content type. Answers over 1 kB are written as text, unvalidated. */
export function describeRoute(route: RouteDescription): FastifySchema {
  const { contentType = "application/json", problems = [], others = {} } = route;
  const params = { ...(route.id && { id: Type.String({ pattern: DICTIONARY_ID_PATTERN }) }), ...route.params };
  return {
    summary: route.summary,
    operationId: route.operationId,
    tags: [route.tag ?? "dictionaries"],
    ...(Object.keys(params).length > 0 && { params: Type.Object(params) }),
    ...(route.query && { querystring: route.query }),
    ...(route.body && { body: { content: { "application/json": { schema: route.body } } } }),
    response: {
      ...(route.answer
        ? { 200: { description: "", content: { [contentType]: { schema: route.answer } } } }
        : { 204: { description: "", type: "null" } }),
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
