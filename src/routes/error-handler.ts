import { randomUUID } from "node:crypto";
import { type IncomingMessage, maxHeaderSize, STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { TSchema } from "typebox";
import { EngineError } from "../engine/core/errors.ts";
import type { InvalidFields } from "./body.ts";
import { type Problem, PROBLEM_TYPE, problemBody, type ProblemCode, PROBLEMS, sendProblem } from "./problem.ts";
import { pathOf } from "./request-span.ts";
import { JSON_TYPE, sendV2Error } from "./oip/v2-route.ts";
import { WireError } from "../codecs/codec-error.ts";
import leven from "leven";

/** Errors of Node's HTTP parser and timers. */
type ClientError = Error & { readonly code?: string; readonly rawPacket?: unknown };

/**
 * Turns every error of a `/v1` request into a problem; unexpected ones are logged in full and answered with the request
 * id.
 */
export function registerErrorHandler(app: FastifyInstance): void {
  app.setErrorHandler((error: FastifyError | Error, request, reply) => {
    const problem = problemOf(error);
    reportProblem(error, problem, request, reply);
    // Not returned: see answerOf (media-types.ts).
    void sendProblem(reply, problem);
  });
  // For a missing file of a page. Unmatched refuses paths without a route before this handler.
  app.setNotFoundHandler((request, reply) =>
    sendProblem(reply, {
      code: "PURSUIT_ROUTE_NOT_FOUND",
      detail: `There is no file ${pathOf(request).slice(0, 200)}.`,
    }),
  );
}

/**
 * Logs the server's own errors (not 503 and 504, of which there are thousands under load), and keeps the connection
 * open after an error that leaves it usable.
 */
export function reportProblem(error: Error, problem: Problem, request: FastifyRequest, reply: FastifyReply): void {
  if (PROBLEMS[problem.code].status === 500) request.log.error({ err: error }, problem.detail);
  // Fastify closes the connection at every fault of a body. Here Node reads and drops the rest of it, so that a client that
  // sends everything before it reads gets its answer, not a reset. Only a stalled body ends the connection.
  if (problem.code === "PURSUIT_BODY_STALLED") void reply.header("connection", "close");
  else void reply.removeHeader("connection");
}

/** For requests that Fastify could not route: they reach no hook and no error handler. */
export function answerUnroutable(error: FastifyError, request: FastifyRequest, reply: FastifyReply): void {
  void reply.header("x-request-id", request.id).header("x-content-type-options", "nosniff");
  const send = isV2(pathOf(request)) ? sendV2Error : sendProblem;
  void send(reply, problemOf(error));
}

/** For bytes that are not an HTTP request: answers on the bare socket, then closes it. */
export function answerUnreadable(error: ClientError, socket: Socket): void {
  if (error.code === "ECONNRESET" || !socket.writable) {
    socket.destroy();
    return;
  }
  const { rawPacket } = error;
  const bytes = rawPacket instanceof Buffer ? rawPacket.toString("latin1") : "";
  const [, url = ""] = /^\S+ (\S+)/.exec(bytes) ?? [];
  answerBare(socket, url, unreadable(error));
}

/** For CONNECT, whose socket Node would close without an answer: this server is no proxy. */
export function answerTunnel({ url = "" }: IncomingMessage, socket: Duplex): void {
  const detail = "There is no CONNECT; this server is no proxy.";
  answerBare(socket, url, { code: "PURSUIT_METHOD_NOT_ALLOWED", detail }, ["allow: "]);
}

/** Answers on the socket when Node gives no response object. */
export function answerBare(socket: Duplex, url: string, problem: Problem, headers: readonly string[] = []): void {
  const { status } = PROBLEMS[problem.code];
  const v2 = isV2(url);
  const body = v2 ? JSON.stringify({ error: problem.detail }) : problemBody(problem, randomUUID());
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    `content-type: ${v2 ? JSON_TYPE : PROBLEM_TYPE}`,
    "x-content-type-options: nosniff",
    `content-length: ${Buffer.byteLength(body)}`,
    ...(problem.retryAfter === undefined ? [] : [`retry-after: ${problem.retryAfter}`]),
    ...headers,
    "connection: close",
  ];
  // A client that resets the connection meanwhile must not end the server.
  socket.on("error", () => socket.destroy()).end(`${head.join("\r\n")}\r\n\r\n${body}`);
}

/** Whether the path belongs to the Open Inference Protocol, whose errors have another form. */
const isV2 = (url: string): boolean => /^\/v2(?:[/?]|$)/.test(url);

function unreadable({ code }: ClientError): Problem {
  if (code === "ERR_HTTP_REQUEST_TIMEOUT")
    return { code: "PURSUIT_BODY_STALLED", detail: "The request did not arrive in time." };
  if (code === "HPE_HEADER_OVERFLOW")
    return {
      code: "PURSUIT_HEAD_TOO_LARGE",
      detail: `The request's URL and headers are over ${maxHeaderSize} bytes together. Send what is too long for the query, such as one budget per row, in a JSON or MessagePack body.`,
    };
  if (code === "HPE_INVALID_EOF_STATE") {
    const detail = "The request ended in the middle: was its body shorter than its content-length?";
    return { code: "PURSUIT_MALFORMED_BODY", detail };
  }
  return { code: "PURSUIT_BAD_REQUEST", detail: `The bytes are no HTTP/1.1 request (${code ?? "unknown"}).` };
}

export function problemOf(error: FastifyError | Error): Problem {
  if (error instanceof EngineError || error instanceof WireError) {
    return { code: error.code, detail: error.message, retryAfter: error.retryAfter };
  }
  if ("validation" in error && error.validation) return invalidField(error);
  const known = "code" in error ? FASTIFY_CODES[error.code] : undefined;
  const { statusCode = 500 } = error as Partial<FastifyError>;
  const code = known ?? (statusCode >= 400 && statusCode < 500 ? codeOf(statusCode) : undefined);
  if (code !== undefined) return { code, detail: DETAILS[code] ?? error.message };
  return { code: "PURSUIT_INTERNAL", detail: "The server failed at this request; its log names the request_id." };
}

/** Fastify's own errors that a client can cause. */
const FASTIFY_CODES: Readonly<Record<string, ProblemCode>> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: "PURSUIT_UNSUPPORTED_MEDIA_TYPE",
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: "PURSUIT_WRONG_LENGTH",
  FST_ERR_BAD_URL: "PURSUIT_BAD_REQUEST",
  FST_ERR_MAX_PARAM_LENGTH: "PURSUIT_ROUTE_NOT_FOUND",
};

/** Maps the status that Fastify or a plugin gives a client error. A path outside the static files is not one. */
function codeOf(status: number): ProblemCode {
  if (status === 403 || status === 404) return "PURSUIT_ROUTE_NOT_FOUND";
  if (status === 413) return "PURSUIT_BODY_TOO_LARGE";
  return status === 415 ? "PURSUIT_UNSUPPORTED_MEDIA_TYPE" : "PURSUIT_BAD_REQUEST";
}

const DETAILS: { readonly [C in ProblemCode]?: string } = {
  PURSUIT_UNSUPPORTED_MEDIA_TYPE: "Send the body as content-type: application/json, or another that GET /docs shows.",
  PURSUIT_ROUTE_NOT_FOUND: "There is no such path; GET /docs shows what there is.",
};

/** The validator's first error in the words of the API. */
function invalidField(error: FastifyError): Problem {
  const first = deepest(error.validation ?? []);
  if (first === undefined) return { code: "PURSUIT_INVALID_FIELD", detail: error.message };
  const { keyword, instancePath, params, message = "is not valid" } = first;
  const field = instancePath
    .slice(1)
    .replaceAll(/\/(\d+)/g, "[$1]")
    .replaceAll("/", ".");
  if (keyword === "additionalProperties") {
    const unknown = String(params["additionalProperty"]);
    const { schema = (first as { parentSchema?: TSchema }).parentSchema, inQuery } = error as InvalidFields;
    const found = schema && nearestField(schema, field.replaceAll(/\[\d+\]/g, ""), unknown);
    const near = inQuery ? found?.replace(/^budget\./, "") : found;
    // Cut: a client's name may be a megabyte.
    const named = `${field ? `${field}.` : ""}${unknown.slice(0, 60)}`;
    const hint = near ? `did you mean ${near}?` : "see /docs for those that there are.";
    return { code: "PURSUIT_INVALID_FIELD", detail: `There is no field ${named}; ${hint}` };
  }
  if (keyword === "required") {
    const missing = `${field ? `${field}.` : ""}${String(params["missingProperty"])}`;
    return { code: "PURSUIT_INVALID_FIELD", detail: `The field ${missing} is missing.` };
  }
  const allowed = keyword === "enum" ? `: ${(params["allowedValues"] as string[]).join(", ")}` : "";
  const code = field.startsWith("budget") ? "PURSUIT_BUDGET_OUT_OF_RANGE" : "PURSUIT_INVALID_FIELD";
  return { code, detail: `${field || "The body"} ${message}${allowed}.` };
}

/** Of the errors about a field with several forms, the one deepest inside it. */
function deepest(complaints: NonNullable<FastifyError["validation"]>): (typeof complaints)[number] | undefined {
  const depth = ({ instancePath }: { instancePath: string }): number => instancePath.split("/").length;
  return complaints.toSorted((a, b) => depth(b) - depth(a))[0];
}

/** Characters of a client's path repeated in an error. */
const SHOWN_PATH = 200;

/**
 * Refuses requests without a route, before their body is read: 405 with `allow` if the path takes another method, else
 * 404. Create it before the first route is added.
 */
export class Unmatched {
  /** Methods of each route's path, as Fastify writes it. */
  readonly #methods = new Map<string, Set<string>>();
  #paths: readonly { readonly pattern: RegExp; readonly methods: ReadonlySet<string> }[] | null = null;

  constructor(app: FastifyInstance) {
    app.addHook("onRoute", ({ method, url }) => {
      const methods = this.#methods.get(url) ?? new Set();
      for (const one of [method].flat()) methods.add(one);
      this.#methods.set(url, methods);
      this.#paths = null;
    });
  }

  /** Adds the refusal; call it after the hooks that must come first, such as the key check. */
  register(app: FastifyInstance): void {
    app.addHook("onRequest", (request, reply, next) => {
      if (!request.is404) return next();
      const allowed = this.methodsOf(pathOf(request));
      if (allowed.length > 0) void reply.header("allow", allowed.join(", "));
      const asked = `There is no ${request.method} ${pathOf(request).slice(0, SHOWN_PATH)};`;
      next(
        allowed.length > 0
          ? new WireError("PURSUIT_METHOD_NOT_ALLOWED", `${asked} this path takes ${allowed.join(", ")}.`)
          : new WireError("PURSUIT_ROUTE_NOT_FOUND", `${asked} GET /docs shows what there is.`),
      );
    });
  }

  /** Methods of a path; none if it does not exist. */
  methodsOf(path: string): readonly string[] {
    this.#paths ??= [...this.#methods].map(([route, methods]) => ({ pattern: patternOf(route), methods }));
    const taken = this.#paths.flatMap(({ pattern, methods }) => (pattern.test(path) ? [...methods] : []));
    return [...new Set(taken)].toSorted();
  }
}

/** `/v1/dictionaries/:id` matches any one part at `:id`, a final `*` any rest. */
function patternOf(path: string): RegExp {
  const parts = path.split(/(:\w+|\*)/).map((part) => {
    if (part === "*") return ".*";
    return part.startsWith(":") ? "[^/]+" : part.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);
  });
  return new RegExp(`^${parts.join("")}$`);
}

/** The parts of a JSON schema used here. */
interface Node {
  readonly properties?: Readonly<Record<string, Node>>;
  readonly items?: Node;
  readonly anyOf?: readonly Node[];
}

/** Longer than any field's name: a client's may be a megabyte. */
const LONGEST = 40;

/**
 * Finds the known field that a client most likely meant: the same name in another place, or a name with a typing error,
 * in the same place first.
 * @param place path of the object that holds the unknown field, without indices: "" or "budget"
 * @returns its path, such as `budget.max_atoms`; null if no field is near
 */
export function nearestField(schema: TSchema, place: string, unknown: string): string | null {
  if (unknown.length > LONGEST) return null;
  const name = plain(unknown);
  const fields = [...pathsOf(schema as Node, "")]
    .map((path) => ({ path, name: plain(path.slice(path.lastIndexOf(".") + 1)) }))
    .map((field) => ({ ...field, distance: leven(name, field.name), beside: parentOf(field.path) === place }))
    // One letter, or two swapped ones.
    .filter((field) => field.distance <= (name.length > 4 ? 2 : 1) && field.distance < field.name.length);
  const [best] = fields.toSorted(
    (a, b) =>
      Number(b.distance === 0) - Number(a.distance === 0) ||
      Number(b.beside) - Number(a.beside) ||
      a.distance - b.distance ||
      a.path.length - b.path.length,
  );
  return best?.path ?? null;
}

/** Treats `maxAtoms`, `max-atoms` and `max_atoms` as equal. */
const plain = (name: string): string => name.toLowerCase().replaceAll(/[_\s-]/g, "");

const parentOf = (path: string): string => path.slice(0, Math.max(path.lastIndexOf("."), 0));

/** Paths of all fields; fields of a list's items count as the list's. */
function* pathsOf({ properties = {}, items, anyOf = [] }: Node, place: string): Generator<string> {
  for (const [name, node] of Object.entries(properties)) {
    const path = place === "" ? name : `${place}.${name}`;
    yield path;
    yield* pathsOf(node, path);
  }
  for (const node of items === undefined ? anyOf : [items, ...anyOf]) yield* pathsOf(node, place);
}
