import type { FastifyInstance } from "fastify";
import Type from "typebox";
import { DICTIONARY_ID_PATTERN } from "../../engine/core/dictionary.ts";
import { readEdits } from "../../engine/core/read-edits.ts";
import type { SteeringSet } from "../../engine/core/steering.ts";
import { bodyOf, fieldsValidator } from "../body.ts";
import { bodySchemas } from "./body-schemas.ts";
import { describeRoute } from "./describe-route.ts";
import { etagOf, isKnown, preconditionOf } from "./etag.ts";
import type { AppOptions } from "../route-options.ts";
import { SetBodySchema, SetFieldsSchema, SteeringSetSchema, SteeringSetsSchema } from "./steer-schemas.ts";

const PATH = "/v1/dictionaries/:id/steering/:name";
const tag = "steering";
const params = { name: Type.String() };

interface Named {
  Params: { id: string; name: string };
}

/** PUT, GET, DELETE /v1/dictionaries/{id}/steering/{name}, and GET /v1/dictionaries/{id}/steering. */
export function registerSteeringSets(app: FastifyInstance, { engine: { steering } }: AppOptions): void {
  app.get<{ Params: { id: string } }>(
    "/v1/dictionaries/:id/steering",
    {
      schema: describeRoute({
        summary: "The dictionary's steering sets, by name",
        operationId: "listSteeringSets",
        id: true,
        answer: SteeringSetsSchema,
        problems: [404],
        tag,
      }),
    },
    (request) => ({
      sets: steering.list(request.params.id).map((set) => ({ ...toWire(set), edits: set.edits.length })),
    }),
  );

  app.get<Named>(
    PATH,
    {
      schema: describeRoute({
        summary: "A steering set",
        operationId: "getSteeringSet",
        id: true,
        params,
        answer: SteeringSetSchema,
        problems: [404],
        conditional: true,
        tag,
      }),
    },
    async (request, reply) => {
      const set = steering.get(request.params.id, request.params.name);
      void reply.header("etag", etagOf(set.version));
      if (isKnown(request.headers, set.version)) return reply.code(304).send();
      return reply.type("application/json").send(textOf(set));
    },
  );

  app.put<Named>(
    PATH,
    {
      config: { body: "fields", management: true },
      schema: describeRoute({
        summary: "Saves a steering set; if-match and if-none-match are heeded",
        operationId: "putSteeringSet",
        id: true,
        params: { name: Type.String({ pattern: DICTIONARY_ID_PATTERN }) },
        body: bodySchemas(SetBodySchema, { rows: false, lines: false }),
        answer: SteeringSetSchema,
        others: { 201: SteeringSetSchema },
        problems: [403, 404, 409, 412, 500],
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
        summary: "Deletes a steering set; if-match is heeded",
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

const toWire = ({ name, sha256, stale, version }: SteeringSet) => ({ name, sha256, stale, etag: etagOf(version) });

/** As text: its edits go out as they came in, and not through a serializer that knows them by their schema. */
const textOf = (set: SteeringSet): string => JSON.stringify({ ...toWire(set), edits: set.edits });
