import type { FastifyReply } from "fastify";
import type { EngineErrorCode } from "../engine/core/errors.ts";
import type { WireErrorCode } from "../codecs/codec-error.ts";

export type ProblemCode = EngineErrorCode | WireErrorCode;

interface ProblemType {
  readonly status: number;
  readonly title: string;
}

/** Maps error codes to HTTP statuses. docs/errors.md explains each code; a test compares the two. */
export const PROBLEMS = {
  PURSUIT_MALFORMED_BODY: { status: 400, title: "The body does not match its content type" },
  PURSUIT_NAN_TOKEN: { status: 400, title: "The body holds NaN or Infinity tokens, which JSON does not have" },
  PURSUIT_WRONG_LENGTH: { status: 400, title: "Binary data is of the wrong length" },
  PURSUIT_BAD_REQUEST: { status: 400, title: "The request is not valid HTTP" },
  PURSUIT_UNAUTHORIZED: { status: 401, title: "A key is missing or not valid" },
  PURSUIT_FORBIDDEN: { status: 403, title: "The key is not an admin key" },
  PURSUIT_ORIGIN_REFUSED: { status: 403, title: "The page of another site may not use this server" },
  PURSUIT_HOST_REFUSED: { status: 403, title: "The host is not this server's" },
  PURSUIT_ROUTE_NOT_FOUND: { status: 404, title: "There is no such route" },
  PURSUIT_DICTIONARY_NOT_FOUND: { status: 404, title: "There is no such dictionary" },
  PURSUIT_FEATURE_NOT_FOUND: { status: 404, title: "There is no such feature" },
  PURSUIT_NO_LABELS: { status: 404, title: "The dictionary has no labels" },
  PURSUIT_NO_STATISTICS: { status: 404, title: "The dictionary has no statistics" },
  PURSUIT_NO_EXAMPLES: { status: 404, title: "The dictionary has no examples" },
  PURSUIT_STEERING_SET_NOT_FOUND: { status: 404, title: "There is no such steering set" },
  PURSUIT_LABEL_NOT_FOUND: { status: 404, title: "No person has labelled the feature" },
  PURSUIT_NOT_ACCEPTABLE: { status: 406, title: "The route has no answer that the client accepts" },
  PURSUIT_METHOD_NOT_ALLOWED: { status: 405, title: "The path does not take this method" },
  PURSUIT_BODY_STALLED: { status: 408, title: "The body stalled" },
  PURSUIT_BEING_REPLACED: { status: 409, title: "The dictionary is being replaced" },
  PURSUIT_STEERING_SET_STALE: { status: 409, title: "The steering set was made for another dictionary" },
  PURSUIT_PRECONDITION_FAILED: { status: 412, title: "What is stored is not the expected version" },
  PURSUIT_BODY_TOO_LARGE: { status: 413, title: "The body is too large" },
  PURSUIT_TOO_MANY_ROWS: { status: 413, title: "Too many rows" },
  PURSUIT_ANSWER_TOO_LARGE: { status: 413, title: "The answer would be too large" },
  PURSUIT_UNSUPPORTED_MEDIA_TYPE: { status: 415, title: "The content type is not supported" },
  PURSUIT_INVALID_FIELD: { status: 422, title: "A field is not valid" },
  PURSUIT_TOO_DEEP: { status: 422, title: "The body is nested too deeply" },
  PURSUIT_WRONG_WIDTH: { status: 422, title: "The rows are of the wrong width" },
  PURSUIT_NOT_FINITE: { status: 422, title: "A row holds a number that is not finite" },
  PURSUIT_BUDGET_OUT_OF_RANGE: { status: 422, title: "A budget is out of range" },
  PURSUIT_ROLE_MISMATCH: { status: 422, title: "The request does not fit the dictionary's role" },
  PURSUIT_ENCODER_UNAVAILABLE: { status: 422, title: "The dictionary has no such encoder" },
  PURSUIT_NOT_TRANSFERABLE: { status: 422, title: "The dictionaries have different numbers of atoms" },
  PURSUIT_INVALID_CODE: { status: 422, title: "A code is not valid" },
  PURSUIT_INVALID_EDIT: { status: 422, title: "An edit is not valid" },
  PURSUIT_QUEUE_FULL: { status: 429, title: "The queue is full" },
  PURSUIT_BYTES_IN_FLIGHT: { status: 429, title: "Too many bytes are in flight" },
  PURSUIT_ANSWERS_UNREAD: { status: 429, title: "Too many answers wait to be read" },
  PURSUIT_HEAD_TOO_LARGE: { status: 431, title: "The URL and headers are too long" },
  PURSUIT_RATE_LIMITED: { status: 429, title: "Too many requests in a minute" },
  PURSUIT_CLIENT_CLOSED: { status: 499, title: "The client disconnected" },
  PURSUIT_RUNTIME_CRASHED: { status: 500, title: "The request crashed the runtime" },
  PURSUIT_STATE_FAILED: { status: 500, title: "Saved state could not be read or written" },
  PURSUIT_INTERNAL: { status: 500, title: "An error of the server" },
  PURSUIT_DICTIONARY_FAILED: { status: 503, title: "The dictionary could not be loaded" },
  PURSUIT_NOT_READY: { status: 503, title: "What the request needs is still being loaded" },
  PURSUIT_DRAINING: { status: 503, title: "The server is shutting down" },
  PURSUIT_STATE_UNAVAILABLE: { status: 503, title: "The database of saved state does not answer" },
  PURSUIT_TOO_MANY_CONNECTIONS: { status: 503, title: "Too many connections" },
  PURSUIT_TIMEOUT: { status: 504, title: "The request ran out of time" },
  PURSUIT_STATE_FULL: { status: 507, title: "Saved state has reached its limit" },
  PURSUIT_STATE_DISK_FULL: { status: 507, title: "The disk of saved state is full" },
  PURSUIT_MEMORY_FULL: { status: 507, title: "There is too little memory for the dictionary" },
} as const satisfies Record<ProblemCode, ProblemType>;

export interface Problem {
  readonly code: ProblemCode;
  readonly detail: string;
  /** Seconds. */
  readonly retryAfter?: number | undefined;
}

export const problemTypeOf = (code: ProblemCode): string =>
  `urn:pursuit:problem:${code.slice("PURSUIT_".length).toLowerCase()}`;

/** The body of a problem (RFC 9457). */
export function problemBody({ code, detail }: Problem, requestId: string): string {
  const { status, title } = PROBLEMS[code];
  return JSON.stringify({ type: problemTypeOf(code), title, status, code, detail, request_id: requestId });
}

export const PROBLEM_TYPE = "application/problem+json";

/** Sets the retry headers: whole seconds for everyone (RFC 9110), and milliseconds. */
export function sayRetryAfter(reply: FastifyReply, seconds: number): void {
  void reply.header("retry-after", Math.max(1, Math.ceil(seconds)));
  void reply.header("retry-after-ms", Math.max(1, Math.ceil(seconds * 1000)));
}

export function sendProblem(reply: FastifyReply, problem: Problem): FastifyReply {
  const { code, retryAfter } = problem;
  if (retryAfter !== undefined) sayRetryAfter(reply, retryAfter);
  return reply
    .code(PROBLEMS[code].status)
    .type(PROBLEM_TYPE)
    .serializer(asItIs)
    .send(problemBody(problem, reply.request.id));
}

/** Sends text together with its head. Fastify's serializer would add a charset, which JSON types do not have. */
const asItIs = (text: string): string => text;
