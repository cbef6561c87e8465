import type { FastifyError, FastifyInstance, FastifyRequest } from "fastify";
import { EngineError } from "../engine/errors.ts";
import { type Problem, type ProblemCode, PROBLEMS, sendProblem } from "./problem.ts";
import { WireError } from "./wire/wire-error.ts";

/** Every fault of a `/v1` request becomes a problem; what is not foreseen is logged whole and told by its request id. */
export function registerErrorHandler(app: FastifyInstance): void {
  app.setErrorHandler((error: FastifyError | Error, request, reply) => {
    const problem = problemOf(error);
    if (PROBLEMS[problem.code].status >= 500 && problem.code !== "PURSUIT_DRAINING")
      request.log.error({ err: error }, problem.detail);
    // What is left of a body that was not read must not be taken for the next request.
    if (!request.raw.complete) void reply.header("connection", "close");
    return sendProblem(reply, problem);
  });
  app.setNotFoundHandler((request, reply) => sendProblem(reply, notFound(request)));
}

function problemOf(error: FastifyError | Error): Problem {
  if (error instanceof EngineError || error instanceof WireError) {
    return { code: error.code, detail: error.message, retryAfter: error.retryAfter };
  }
  if ("validation" in error && error.validation) return invalidField(error);
  const code = "code" in error ? FASTIFY_CODES[error.code] : undefined;
  if (code !== undefined) return { code, detail: DETAILS[code] ?? error.message };
  return { code: "PURSUIT_INTERNAL", detail: "The server failed at this request; its log names the request_id." };
}

/** Fastify's own faults that a client can cause. */
const FASTIFY_CODES: Readonly<Record<string, ProblemCode>> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: "PURSUIT_UNSUPPORTED_MEDIA_TYPE",
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: "PURSUIT_WRONG_LENGTH",
  FST_ERR_BAD_URL: "PURSUIT_BAD_REQUEST",
};

const DETAILS: { readonly [C in ProblemCode]?: string } = {
  PURSUIT_UNSUPPORTED_MEDIA_TYPE: "Send the body as content-type: application/json.",
};

/** The first complaint of the validator in the words of the API. */
function invalidField(error: FastifyError): Problem {
  const first = deepest(error.validation ?? []);
  if (first === undefined) return { code: "PURSUIT_INVALID_FIELD", detail: error.message };
  const { keyword, instancePath, params, message = "is not valid" } = first;
  const field = instancePath
    .slice(1)
    .replaceAll(/\/(\d+)/g, "[$1]")
    .replaceAll("/", ".");
  if (keyword === "additionalProperties") {
    const unknown = `${field ? `${field}.` : ""}${String(params["additionalProperty"])}`;
    return {
      code: "PURSUIT_INVALID_FIELD",
      detail: `There is no field ${unknown}; see /docs for those that there are.`,
    };
  }
  if (keyword === "required") {
    const missing = `${field ? `${field}.` : ""}${String(params["missingProperty"])}`;
    return { code: "PURSUIT_INVALID_FIELD", detail: `The field ${missing} is missing.` };
  }
  const allowed = keyword === "enum" ? `: ${(params["allowedValues"] as string[]).join(", ")}` : "";
  const code = field.startsWith("budget") ? "PURSUIT_BUDGET_OUT_OF_RANGE" : "PURSUIT_INVALID_FIELD";
  return { code, detail: `${field || "The body"} ${message}${allowed}.` };
}

/** Of the complaints about a field that may have several forms, the one that got furthest into it. */
function deepest(complaints: NonNullable<FastifyError["validation"]>): (typeof complaints)[number] | undefined {
  const depth = ({ instancePath }: { instancePath: string }): number => instancePath.split("/").length;
  return complaints.toSorted((a, b) => depth(b) - depth(a))[0];
}

function notFound(request: FastifyRequest): Problem {
  return {
    code: "PURSUIT_ROUTE_NOT_FOUND",
    detail: `There is no ${request.method} ${request.url.split("?")[0]}; GET /docs shows what there is.`,
  };
}
