import type { FastifySchema } from "fastify";
import Type, { type TSchema } from "typebox";
import { DICTIONARY_ID_PATTERN } from "../engine/dictionary.ts";
import { ProblemSchema } from "./schemas.ts";

export interface RouteDescription {
  readonly summary: string;
  readonly operationId: string;
  /** Whether the path names a dictionary. */
  readonly id?: boolean;
  readonly params?: Readonly<Record<string, TSchema>>;
  readonly body?: TSchema;
  readonly answer: TSchema;
  readonly contentType?: string;
  /** Other successes and refusals that answer in the same shape. */
  readonly problems?: readonly number[];
  readonly tag?: string;
}

/** A route's schema, bodies and answers described by content type. Answers over 1 kB are written as text, unvalidated. */
export function describeRoute(route: RouteDescription): FastifySchema {
  const { contentType = "application/json", problems = [] } = route;
  const params = { ...(route.id && { id: Type.String({ pattern: DICTIONARY_ID_PATTERN }) }), ...route.params };
  return {
    summary: route.summary,
    operationId: route.operationId,
    tags: [route.tag ?? "dictionaries"],
    ...(Object.keys(params).length > 0 && { params: Type.Object(params) }),
    ...(route.body && { body: { content: { "application/json": { schema: route.body } } } }),
    response: {
      200: { description: "", content: { [contentType]: { schema: route.answer } } },
      ...Object.fromEntries(
        problems.map((status) => [status, { description: "Problem", content: { "application/problem+json": { schema: ProblemSchema } } }]),
      ),
    },
  };
}
