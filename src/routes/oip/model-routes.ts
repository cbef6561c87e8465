import Type from "typebox";
import type { DictionaryManifest } from "../../engine/core/dictionary.ts";
import type { DictionaryStatus } from "../../engine/engine.ts";
import { snakeCase } from "../../engine/core/json-object.ts";
import type { AppOptions } from "../request-context.ts";
import { inputTensors, outputTensors, type TensorSpec } from "./tensor.ts";
import type { InferStatistics } from "./infer-statistics.ts";
import { manifestOf, sendJson, type V2Route, VERSION, VERSION_PLACE } from "./v2-route.ts";

/** The protocol's name of an ONNX graph. */
const PLATFORM = "onnx_onnxv1";

/** Maximum that clients can read as `max_batch_size`. */
const LARGEST_INT32 = 2 ** 31 - 1;

const TensorSchema = Type.Object(
  {
    name: Type.String(),
    datatype: Type.String(),
    shape: Type.Array(Type.Integer()),
  },
  { title: "ModelTensor" },
);

const MetadataSchema = Type.Object(
  {
    name: Type.String(),
    versions: Type.Array(Type.String()),
    platform: Type.String(),
    inputs: Type.Array(TensorSchema),
    outputs: Type.Array(TensorSchema),
  },
  { title: "ModelMetadata" },
);

const StatisticsSchema = Type.Object(
  { model_stats: Type.Array(Type.Record(Type.String(), Type.Unknown())) },
  { title: "ModelStatistics" },
);

/** GET /v2/models and, below it, metadata, ready, config and stats. */
export function modelRoutes(options: AppOptions, statistics: InferStatistics): readonly V2Route[] {
  const { engine, limits, metrics } = options;
  const describe = (id: string): object => statistics.describe(id, metrics.executions(id));
  return [
    {
      method: "GET",
      path: "/models",
      summary: "Names of the dictionaries that are ready",
      operationId: "v2Models",
      answer: Type.Object({ models: Type.Array(Type.String()) }),
      handle: (_request, reply) => {
        const ready = engine.list().filter(({ state, onDemand = false }) => state === "ready" || onDemand);
        return sendJson(reply, { models: ready.map(({ id }) => id) });
      },
    },
    {
      method: "GET",
      path: "/models/stats",
      summary: "Statistics of every dictionary",
      operationId: "v2AllStatistics",
      answer: StatisticsSchema,
      handle: (_request, reply) => sendJson(reply, { model_stats: engine.list().map(({ id }) => describe(id)) }),
    },
    {
      method: "GET",
      path: `/models/:model${VERSION_PLACE}`,
      summary: "Inputs and outputs of a dictionary",
      operationId: "v2Model",
      answer: MetadataSchema,
      handle: ({ params: { model } }, reply) => sendJson(reply, metadata(manifestOf(engine.status(model)))),
    },
    {
      method: "GET",
      path: `/models/:model${VERSION_PLACE}/ready`,
      summary: "Whether a dictionary answers; 503 if not",
      operationId: "v2ModelReady",
      answer: Type.Object({ name: Type.String(), ready: Type.Boolean(), live: Type.Boolean() }),
      handle: ({ params: { model } }, reply) => {
        const { state, onDemand = false, runtimeState = "running" } = engine.status(model);
        if (onDemand || (state === "ready" && runtimeState === "running"))
          return sendJson(reply, { name: model, ready: true, live: true });
        void reply.code(503);
        const error =
          state === "ready"
            ? `The runtime process of dictionary ${model} is ${runtimeState}.`
            : `Dictionary ${model} is ${state}.`;
        return sendJson(reply, { name: model, ready: false, live: true, error });
      },
    },
    {
      method: "GET",
      path: `/models/:model${VERSION_PLACE}/config`,
      summary: "Configuration of a dictionary",
      operationId: "v2ModelConfig",
      answer: Type.Record(Type.String(), Type.Unknown()),
      handle: ({ params: { model } }, reply) => {
        const status = engine.status(model);
        return sendJson(reply, config(status, manifestOf(status), limits.maxRows));
      },
    },
    {
      method: "GET",
      path: `/models/:model${VERSION_PLACE}/stats`,
      summary: "Statistics of a dictionary",
      operationId: "v2ModelStatistics",
      answer: StatisticsSchema,
      handle: ({ params: { model } }, reply) => sendJson(reply, { model_stats: [describe(model)] }),
    },
  ];
}

function metadata(manifest: DictionaryManifest): object {
  const shown = ({ name, datatype, shape }: TensorSpec): object => ({ name, datatype, shape });
  return {
    name: manifest.id,
    versions: [VERSION],
    platform: PLATFORM,
    inputs: inputTensors(manifest).map(shown),
    outputs: outputTensors(manifest).map(shown),
  };
}

/** A model's configuration in Triton's form: sizes without the first, the batch's. */
function config({ chosen, sha256 }: DictionaryStatus, manifest: DictionaryManifest, maxRows: number): object {
  const { id, kind, m, encoder, defaultBudget } = manifest;
  const settings = {
    kind,
    m,
    ...(sha256 !== undefined && { sha256 }),
    ...chosen,
    ...snakeCase(encoder),
    ...(defaultBudget && { default_budget: JSON.stringify(snakeCase(defaultBudget)) }),
  };
  return {
    name: id,
    platform: PLATFORM,
    backend: "pursuit",
    version_policy: { latest: { num_versions: 1 } },
    max_batch_size: Math.min(maxRows, LARGEST_INT32),
    input: inputTensors(manifest).map((spec) => ({
      ...configured(spec),
      format: "FORMAT_NONE",
      optional: spec.optional ?? false,
    })),
    output: outputTensors(manifest).map((spec) => configured(spec)),
    // Rows of several requests share a batch as soon as the runtime is free; nothing waits for a batch to fill.
    dynamic_batching: { max_queue_delay_microseconds: 0, preserve_ordering: false },
    instance_group: [{ name: id, kind: chosen?.runtime === "cuda" ? "KIND_GPU" : "KIND_CPU", count: 1 }],
    model_transaction_policy: { decoupled: false },
    parameters: Object.fromEntries(
      Object.entries(settings).map(([name, value]) => [name, { string_value: String(value) }]),
    ),
  };
}

function configured({ name, datatype, shape }: TensorSpec): object {
  const [, ...dims] = shape;
  const type = { name, data_type: `TYPE_${datatype === "BYTES" ? "STRING" : datatype}` };
  // Triton has no empty dims: a tensor of one entry per row uses a reshape.
  return dims.length === 0 ? { ...type, dims: [1], reshape: { shape: [] } } : { ...type, dims };
}
