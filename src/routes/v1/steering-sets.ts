import type { FastifyInstance } from "fastify";
import Type from "typebox";
import { DICTIONARY_ID_PATTERN } from "../../engine/core/dictionary.ts";
import { readEdits } from "../../engine/core/edits.ts";
import type { SteeringSet } from "../../engine/core/steering.ts";
import { bodyOf, fieldsValidator } from "../body.ts";
import { bodySchemas, describeRoute, textParameter } from "./describe-route.ts";
import { etagOf, isKnown, preconditionOf } from "./entity-tags.ts";
import { limitOf } from "./features.ts";
import type { UnreadAnswers } from "../unread-answers.ts";
import type { AppOptions } from "../request-context.ts";
import { SetBodySchema, SetFieldsSchema, SteeringSetSchema, SteeringSetsSchema } from "./steer-schemas.ts";

const PATH = "/v1/dictionaries/:id/steering/:name";
const tag = "steering";
const params = { name: Type.String() };

interface Named {
  Params: { id: string; name: string };
}

/** Sets of one list at most, and where the query does not say. */
const MOST_LISTED = 1000;
const LISTED = 100;

/** PUT, GET, DELETE /v1/dictionaries/{id}/steering/{name}, and GET /v1/dictionaries/{id}/steering. */
export function registerSteeringSets(
  app: FastifyInstance,
  unread: UnreadAnswers,
  { engine: { steering } }: AppOptions,
): void {
  app.get<{ Params: { id: string }; Querystring: { after?: string; limit?: string } }>(
    "/v1/dictionaries/:id/steering",
    {
      config: { loads: true },
      schema: describeRoute({
        summary: "The dictionary's steering sets by name, without their edits",
        operationId: "listSteeringSets",
        id: true,
        query: Type.Object(
          {
            after: Type.Optional(Type.String({ description: "Start after this name: `next` of the previous answer" })),
            limit: Type.Optional(
              textParameter(`${LISTED} if not given`, Type.Integer({ minimum: 1, maximum: MOST_LISTED })),
            ),
          },
          { additionalProperties: false },
        ),
        answer: SteeringSetsSchema,
        problems: [404, 422, 500],
        tag,
      }),
    },
    (request) => {
      const { after = "", limit: given } = request.query;
      const limit = given === undefined ? LISTED : limitOf(given, MOST_LISTED);
      return steering.list(request.params.id, { after, limit: limit + 1 }).then((found) => {
        const sets = found.slice(0, limit).map(({ edits, bytes, ...set }) => ({ ...toWire(set), edits, bytes }));
        return { sets, ...(found.length > limit && { next: sets.at(-1)!.name }) };
      });
    },
  );

  app.get<Named>(
    PATH,
    {
      config: { loads: true },
      schema: describeRoute({
        summary: "A steering set",
        operationId: "getSteeringSet",
        id: true,
        params,
        answer: SteeringSetSchema,
        problems: [404, 500],
        conditional: true,
        tag,
      }),
    },
    async (request, reply) => {
      const { id, name } = request.params;
      const { version, bytes } = await steering.find(id, name);
      if (isKnown(request.headers, version)) return reply.code(304).header("etag", etagOf(version)).send();
      // Before its file is read: requests cost a client little, and these answers much.
      unread.admit(request, reply, bytes);
      const set = await steering.get(id, name);
      return reply.type("application/json").header("etag", etagOf(set.version)).send(textOf(set));
    },
  );

  app.put<Named>(
    PATH,
    {
      config: { body: "fields", management: true, loads: true },
      schema: describeRoute({
        summary: "Save a steering set; observes if-match and if-none-match",
        operationId: "putSteeringSet",
        id: true,
        params: { name: Type.String({ pattern: DICTIONARY_ID_PATTERN }) },
        body: bodySchemas(SetBodySchema, { rows: false, lines: false }),
        answer: SteeringSetSchema,
        others: { 201: SteeringSetSchema },
        problems: [403, 404, 409, 412, 500, 507],
        tag,
      }),
      validatorCompiler: fieldsValidator(SetFieldsSchema),
    },
    async (request, reply) => {
      const { id, name } = request.params;
      const edits = readEdits(bodyOf(request, "fields").fields["edits"]);
      const { set, created } = await steering.save(id, name, edits, preconditionOf(request.headers));
      void reply.code(created ? 201 : 200).header("etag", etagOf(set.version));
      return reply.type("application/json").send(textOf(set));
    },
  );

  app.delete<Named>(
    PATH,
    {
      config: { management: true },
      schema: describeRoute({
        summary: "Delete a steering set; observes if-match",
        operationId: "deleteSteeringSet",
        id: true,
        params,
        problems: [403, 404, 412, 500],
        tag,
      }),
    },
    async (request, reply) => {
      const { id, name } = request.params;
      await steering.delete(id, name, preconditionOf(request.headers));
      return reply.code(204).send();
    },
  );
}

const toWire = ({ name, sha256, stale, version }: Omit<SteeringSet, "edits">) => ({
  name,
  sha256,
  stale,
  etag: etagOf(version),
});

/** Its edits go out as they lie on the disk, and not through a serializer that knows them by their schema. */
const textOf = (set: SteeringSet): string => `${JSON.stringify(toWire(set)).slice(0, -1)},"edits":${set.edits}}`;
