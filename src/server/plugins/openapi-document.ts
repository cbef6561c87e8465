import type { FastifyDynamicSwaggerOptions } from "@fastify/swagger";
import { REQUEST_EXAMPLES } from "./openapi-examples.ts";

/** The part of an OpenAPI operation completed here. */
interface Operation {
  readonly operationId: string;
  parameters?: Parameter[];
  readonly requestBody?: { readonly content: Record<string, { example?: unknown }> };
}
interface Parameter {
  readonly name: string;
  readonly in: string;
  readonly description?: string;
  schema?: object & { readonly documented?: object };
  example?: unknown;
}

/**
 * Completes the OpenAPI document: examples of requests, types of query parameters, the query of bodies without fields
 * as one parameter, and every schema with a title listed once under components.
 */
export const completeDocument: NonNullable<FastifyDynamicSwaggerOptions["transformObject"]> = (given) => {
  if (!("openapiObject" in given)) return given.swaggerObject;
  const { paths = {}, components = {}, ...document } = given.openapiObject;
  for (const path of Object.values(paths)) {
    for (const operation of Object.values(path ?? {}) as Operation[]) {
      const { parameters = {}, body = {} } = REQUEST_EXAMPLES[operation.operationId] ?? {};
      for (const parameter of operation.parameters ?? []) {
        if (parameter.name in parameters) parameter.example = parameters[parameter.name];
        if (parameter.schema?.documented) parameter.schema = parameter.schema.documented;
      }
      for (const [type, media] of Object.entries(operation.requestBody?.content ?? {})) {
        if (type in body) media.example = body[type];
      }
      if (operation.requestBody !== undefined) foldQuery(operation);
    }
  }
  const named = new Map<string, unknown>();
  const referring = nameSchemas(paths, named) as typeof paths;
  const schemas = { ...components.schemas, ...Object.fromEntries([...named].toSorted(([a], [b]) => (a < b ? -1 : 1))) };
  return { ...document, components: { ...components, schemas }, paths: referring } as typeof given.openapiObject;
};

/**
 * The value with each schema that has a title replaced by a reference, and those schemas added to `named`. A description
 * stays beside the reference: it may tell of the place.
 * @throws Error for one title of two schemas
 */
function nameSchemas(value: unknown, named: Map<string, unknown>): unknown {
  if (Array.isArray(value)) return value.map((one) => nameSchemas(one, named));
  if (typeof value !== "object" || value === null) return value;
  const fields = Object.entries(value).map(([key, one]) => [
    key,
    // An example is a value, not a schema.
    key === "example" ? one : nameSchemas(one, named),
  ]);
  const copy = Object.fromEntries(fields) as Record<string, unknown>;
  // Generated clients take an enum without a type as unknown.
  if (Array.isArray(copy["enum"]) && copy["enum"].every((one) => typeof one === "string")) copy["type"] = "string";
  const { title, description, ...schema } = copy;
  if (typeof title !== "string" || !isSchema(schema)) return copy;
  const known = named.get(title);
  if (known !== undefined && JSON.stringify(known) !== JSON.stringify(schema))
    throw new Error(`Two schemas have the title ${title}.`);
  named.set(title, schema);
  return { $ref: `#/components/schemas/${title}`, ...(description !== undefined && { description }) };
}

/** Not the fields of an object that has one named "title". */
const isSchema = (value: Record<string, unknown>): boolean =>
  typeof value["type"] === "string" || Array.isArray(value["anyOf"]);

/** Folds query parameters into one object, serialized as those parameters (style form, explode). */
function foldQuery(operation: Operation): void {
  const { parameters = [] } = operation;
  const query = parameters.filter((parameter) => parameter.in === "query");
  if (query.length === 0) return;
  operation.parameters = [
    ...parameters.filter((parameter) => parameter.in !== "query"),
    {
      name: "fields",
      in: "query",
      description:
        "Only for bodies of bytes or lines, which have no fields of their own: the fields of the JSON body, each as a " +
        "parameter of that name. Leave it empty for JSON and MessagePack.",
      style: "form",
      explode: true,
      schema: {
        type: "object",
        properties: Object.fromEntries(
          query.map(({ name, description, schema }) => [name, { ...schema, ...(description && { description }) }]),
        ),
      },
      example: {},
    } as Parameter,
  ];
}
