import type { FastifyInstance } from "fastify";
import Type from "typebox";
import { EngineError } from "../../engine/core/errors.ts";
import { MAX_LABEL, type OwnLabel } from "../../engine/core/features.ts";
import { WireError } from "../../codecs/codec-error.ts";
import { bodyOf, fieldsValidator } from "../body.ts";
import type { AppOptions } from "../request-context.ts";
import { bodySchemas, describeRoute, textParameter } from "./describe-route.ts";
import { closed } from "./schemas.ts";
import { etagOf, isKnown, preconditionOf } from "./entity-tags.ts";

const PATH = "/v1/dictionaries/:id/features/:index/label";

const LabelBodySchema = Type.Object(
  { label: Type.String({ minLength: 1, maxLength: MAX_LABEL }) },
  { ...closed, title: "FeatureLabelRequest" },
);

const LabelSchema = Type.Object(
  {
    feature: Type.Integer(),
    label: Type.String(),
    sha256: Type.String({ description: "Version of the dictionary that it was written for" }),
    stale: Type.Boolean({ description: "The dictionary is another version now: the label is not shown with it" }),
    etag: Type.String(),
  },
  { title: "PersonLabel" },
);

interface Labelled {
  Params: { id: string; index: string };
}

const params = { index: textParameter("0 to m − 1", Type.Integer({ minimum: 0 })) };

/** GET, PUT and DELETE of a person's own label: /v1/dictionaries/{id}/features/{index}/label. */
export function registerOwnLabels(app: FastifyInstance, { engine: { ownLabels } }: AppOptions): void {
  app.get<Labelled>(
    PATH,
    {
      config: { loads: true },
      schema: describeRoute({
        summary: "The label that a person wrote for a feature",
        operationId: "getFeatureLabel",
        id: true,
        params,
        answer: LabelSchema,
        problems: [404, 500],
        conditional: true,
      }),
    },
    async (request, reply) => {
      const { id, index } = request.params;
      const label = await ownLabels.get(id, featureOf(index));
      void reply.header("etag", etagOf(label.version));
      if (isKnown(request.headers, label.version)) return reply.code(304).send();
      return toWire(index, label);
    },
  );

  app.put<Labelled>(
    PATH,
    {
      config: { body: "fields", management: true, loads: true },
      schema: describeRoute({
        summary: "Label a feature; observes if-match and if-none-match",
        operationId: "putFeatureLabel",
        id: true,
        params,
        body: bodySchemas(LabelBodySchema, { rows: false, lines: false }),
        answer: LabelSchema,
        others: { 201: LabelSchema },
        problems: [403, 404, 412, 500, 507],
      }),
      validatorCompiler: fieldsValidator(LabelBodySchema),
    },
    async (request, reply) => {
      const { id, index } = request.params;
      const text = labelText(bodyOf(request, "fields").fields["label"]);
      const { label, created } = await ownLabels.save(id, featureOf(index), text, preconditionOf(request.headers));
      return reply
        .code(created ? 201 : 200)
        .header("etag", etagOf(label.version))
        .send(toWire(index, label));
    },
  );

  app.delete<Labelled>(
    PATH,
    {
      config: { management: true, loads: true },
      schema: describeRoute({
        summary: "Delete the label that a person wrote; observes if-match",
        operationId: "deleteFeatureLabel",
        id: true,
        params,
        problems: [403, 404, 412, 500],
      }),
    },
    async (request, reply) => {
      const { id, index } = request.params;
      await ownLabels.delete(id, featureOf(index), preconditionOf(request.headers));
      return reply.code(204).send();
    },
  );
}

const toWire = (index: string, { text, version, ...label }: OwnLabel) => ({
  feature: Number(index),
  label: text,
  ...label,
  etag: etagOf(version),
});

/** @throws EngineError PURSUIT_FEATURE_NOT_FOUND */
function featureOf(index: string): number {
  if (/^\d{1,10}$/.test(index)) return Number(index);
  throw new EngineError("PURSUIT_FEATURE_NOT_FOUND", `${JSON.stringify(index)} is not the number of a feature.`);
}

/** @throws WireError PURSUIT_INVALID_FIELD */
function labelText(given: unknown): string {
  const fault = (what: string): WireError => new WireError("PURSUIT_INVALID_FIELD", `label ${what}.`);
  if (typeof given !== "string") throw fault("must be a text");
  const text = given.trim();
  if (text === "" || text.length > MAX_LABEL)
    throw fault(`must have 1 to ${MAX_LABEL} characters; it has ${text.length}`);
  // A database keeps neither.
  if (/\p{Cc}/u.test(text) || /\p{Cs}/u.test(text)) throw fault("must not hold control characters or half characters");
  return text;
}
