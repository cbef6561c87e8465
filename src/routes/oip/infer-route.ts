import type { FastifyReply } from "fastify";
import Type from "typebox";
import { encodeAsRead, replaced } from "../v1/request-fields.ts";
import { type AppOptions, cancellationOf, contextOf } from "../request-context.ts";
import { describe, invalid, named, WireError } from "../../codecs/codec-error.ts";
import { inputTensors, outputTensors } from "./tensor.ts";
import type { WirePool } from "../threads/pool.ts";
import { checkAnswer, leastBytes } from "../../codecs/answers.ts";
import { inferBytes } from "./write-infer.ts";
import type { InferStatistics } from "./infer-statistics.ts";
import {
  compressAnswer,
  JSON_TYPE,
  manifestOf,
  type V2Request,
  type V2Route,
  VERSION,
  VERSION_PLACE,
} from "./v2-route.ts";
import type { Budget } from "../../engine/core/budget.ts";
import type { RequestEncoder } from "../../engine/core/dictionary.ts";
import { readEncoder } from "../../codecs/read-encoder.ts";

/** Where the JSON of a body ends and its binary data begins, both ways. */
const HEADER_LENGTH = "inference-header-content-length";

const ParametersSchema = Type.Record(Type.String(), Type.Union([Type.String(), Type.Number(), Type.Boolean()]));
const tensor = {
  name: Type.String(),
  datatype: Type.String(),
  shape: Type.Array(Type.Integer()),
  parameters: Type.Optional(ParametersSchema),
  data: Type.Optional(Type.Array(Type.Unknown(), { description: "Row-major, flat or nested; absent where binary" })),
};
const InferBodySchema = Type.Object(
  {
    id: Type.Optional(Type.String()),
    parameters: Type.Optional(ParametersSchema),
    inputs: Type.Array(Type.Object(tensor)),
    outputs: Type.Optional(
      Type.Array(Type.Object({ name: Type.String(), parameters: Type.Optional(ParametersSchema) })),
    ),
  },
  {
    title: "InferRequest",
    description: `Binary data may follow it, its beginning told by the header ${HEADER_LENGTH}`,
  },
);
const InferAnswerSchema = Type.Object(
  {
    model_name: Type.String(),
    model_version: Type.String(),
    id: Type.Optional(Type.String()),
    parameters: Type.Optional(ParametersSchema),
    outputs: Type.Array(Type.Object(tensor)),
  },
  { title: "InferAnswer" },
);

/** POST /v2/models/{model}/infer: rows → codes as tensors. */
export function inferRoute(options: AppOptions, pool: WirePool, statistics: InferStatistics): V2Route {
  return {
    method: "POST",
    path: `/models/:model${VERSION_PLACE}/infer`,
    summary: "Encode rows to sparse codes, as tensors",
    operationId: "v2Infer",
    queues: true,
    body: InferBodySchema,
    answer: InferAnswerSchema,
    handle: async (request, reply) => {
      const { model } = request.params;
      try {
        const { rows, answer } = await infer(request, reply, options, pool);
        statistics.succeeded(model, rows, request.span.times, performance.now() - request.started);
        return await answer();
      } catch (error) {
        statistics.failed(model, performance.now() - request.started);
        throw error;
      }
    },
  };
}

interface Inferred {
  readonly rows: number;
  /** Sets what is to be said of the answer, and makes its bytes. */
  readonly answer: () => Promise<Uint8Array>;
}

async function infer(
  request: V2Request,
  reply: FastifyReply,
  { engine, limits, telemetry }: AppOptions,
  pool: WirePool,
): Promise<Inferred> {
  const { model } = request.params;
  const status = engine.status(model);
  const manifest = manifestOf(status);
  const { dIn, dOut: d } = manifest;
  const outputNames = outputTensors(manifest).map(({ name }) => name);

  const reading = performance.now();
  const body = {
    bytes: bytesOf(request),
    headerLength: headerLengthOf(request),
    d: dIn,
    limits: { maxRows: limits.maxRows, maxUnpacked: limits.maxUnpacked },
    inputs: inputTensors(manifest).map(({ name }) => name),
    outputs: outputNames,
  };
  const read = await pool.readInfer(body, cancellationOf(request));
  const { id, rows, budget, outputs, timeoutMs, degrade, encoder } = read;
  telemetry.stage("decode", request.span, reading);

  const reconstruction = outputs.find(({ name }) => name === "reconstruction");
  if (reconstruction) {
    const { binary } = reconstruction;
    checkAnswer(binary ? rows.count * d * 4 : leastBytes(rows.count * d, "json"), limits.maxAnswer);
  }
  const work = {
    rows,
    budget,
    trace: false,
    reconstruction: reconstruction !== undefined,
    ...(encoder !== null && { encoder }),
    degrade,
  };
  const context = contextOf(request, reply, engine, timeoutMs ?? undefined);
  const { codes, sha256, pursuit } = await encodeAsRead(engine, status, work, context);
  // The outputs asked for were checked against those of the version that was there then.
  if (sha256 !== status.sha256) throw replaced(model);
  const head = { model, version: VERSION, id, outputs, d, ...(pursuit && { encoder: pursuit }) };
  checkAnswer(inferBytes(codes, head), limits.maxAnswer);

  const writing = performance.now();
  const { bytes, headerLength } = await pool.writeInfer(codes, head, request.cancellation);
  telemetry.stage("write", request.span, writing);
  return {
    rows: rows.count,
    answer: () => {
      if (headerLength === null) void reply.type(JSON_TYPE);
      else void reply.type("application/octet-stream").header(HEADER_LENGTH, headerLength);
      return compressAnswer(request, reply, bytes, limits.compressFrom);
    },
  };
}

function bytesOf({ body }: V2Request): Uint8Array<ArrayBuffer> {
  if (body instanceof Uint8Array && body.length > 0) return body as Uint8Array<ArrayBuffer>;
  throw new WireError("PURSUIT_MALFORMED_BODY", "The body is empty; send an inference request.");
}

function headerLengthOf({ headers }: V2Request): number | null {
  const given = headers[HEADER_LENGTH];
  if (given === undefined) return null;
  if (typeof given === "string" && /^\d{1,15}$/.test(given)) return Number(given);
  throw invalid(
    `Inference-Header-Content-Length must be a number of bytes; it is ${JSON.stringify(given).slice(0, 60)}.`,
  );
}

type Mutable<T> = { -readonly [P in keyof T]: T[P] };

/** Parameters that are budgets. */
const BUDGETS = {
  max_atoms: "maxAtoms",
  tolerance: "tolerance",
  residual_norm: "residualNorm",
  min_gain: "minGain",
  group: "group",
} as const;

/** Parameters of other servers that ask for nothing that this one does not do anyway. */
const HARMLESS = new Set(["priority", "triton_enable_empty_final_response"]);

/** What the `parameters` of an inference request say. */
interface InferParameters {
  /** null where no parameter is one of a budget. */
  readonly budget: Budget | null;
  readonly timeoutMs: number | null;
  readonly binary: boolean;
  readonly degrade: boolean;
  readonly encoder: RequestEncoder | null;
}

/** @throws WireError PURSUIT_INVALID_FIELD */
export function readParameters(parameters: unknown): InferParameters {
  if (parameters === undefined || parameters === null) {
    return { budget: null, timeoutMs: null, binary: false, degrade: false, encoder: null };
  }
  if (typeof parameters !== "object" || Array.isArray(parameters)) {
    throw invalid(`parameters must be an object; it is ${describe(parameters)}.`);
  }
  const budget: Mutable<Budget> = {};
  let timeoutMs: number | null = null;
  let binary = false;
  let degrade = false;
  let encoder: RequestEncoder | null = null;
  for (const [name, value] of Object.entries(parameters)) {
    if (Object.hasOwn(BUDGETS, name)) {
      if (typeof value !== "number") throw invalid(`parameters.${name} must be a number; it is ${describe(value)}.`);
      budget[BUDGETS[name as keyof typeof BUDGETS]] = value;
    } else if (name === "timeout") {
      if (typeof value !== "number" || !(value >= 0)) {
        throw invalid(`parameters.timeout must be microseconds, 0 or more; it is ${describe(value)}.`);
      }
      // 0 is Triton's word for none.
      timeoutMs = value === 0 ? null : value / 1000;
    } else if (name === "binary_data_output") {
      binary = readBoolean(value, "parameters.binary_data_output");
    } else if (name === "on_overload") {
      if (value !== "reject" && value !== "degrade") {
        throw invalid(`parameters.on_overload must be reject or degrade; it is ${describe(value)}.`);
      }
      degrade = value === "degrade";
    } else if (name === "encoder") {
      encoder = readEncoder(value, "parameters.encoder") ?? null;
    } else if (!HARMLESS.has(name)) {
      const there = [...Object.keys(BUDGETS), "encoder", "timeout", "on_overload", "binary_data_output"].join(", ");
      throw invalid(`There is no parameter ${named(name)}; there are ${there}.`);
    }
  }
  return { budget: Object.keys(budget).length === 0 ? null : budget, timeoutMs, binary, degrade, encoder };
}

/** @throws WireError PURSUIT_INVALID_FIELD */
export function readBoolean(value: unknown, at: string): boolean {
  if (typeof value === "boolean") return value;
  throw invalid(`${at} must be true or false; it is ${describe(value)}.`);
}
