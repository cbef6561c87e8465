import { isatty } from "node:tty";
import { type DestinationStream, type Logger, pino } from "pino";
import type { FastifyRequest } from "fastify";
import pretty from "pino-pretty";
import type { Subscriber } from "../engine/core/telemetry.ts";
import { pathOf } from "../routes/request-span.ts";
import { REDACTED, redactor } from "./redact.ts";

const STDERR = 2;

/** Headers that hold keys, this server's or another's. */
const SECRET_HEADERS = ["authorization", "proxy-authorization", "cookie", "x-api-key"];

/** Where such a header would appear if a request, or an error with one in it, were logged whole. */
const PLACES = ["", "headers", "*.headers", "err.*.headers"];
const PATHS = PLACES.flatMap((place) => SECRET_HEADERS.map((name) => `${place}["${name}"]`));

/** Standard output is for people, standard error for logs: JSON lines, or plain ones on a terminal. */
const standardError = (): DestinationStream =>
  isatty(STDERR)
    ? pretty({ destination: STDERR, sync: true, translateTime: "HH:MM:ss", ignore: "dictionary,seconds" })
    : pino.destination(STDERR);

/**
 * Makes the log. No line holds one of the keys, wherever a message, an error or a URL has it. Keys that the server does not
 * know are left out by place: headers that hold keys, and whatever follows the path of a URL.
 */
export function createLogger(
  level: string,
  keys: readonly string[],
  stream: DestinationStream = standardError(),
): Logger {
  return pino(
    {
      level,
      base: null,
      redact: { paths: PATHS, censor: REDACTED },
      serializers: { req: (request: FastifyRequest) => ({ method: request.method, path: pathOf(request) }) },
      hooks: { streamWrite: redactor(keys) },
    },
    stream,
  );
}

/** Logs every answered request, at debug. */
export const logRequests =
  (logger: Logger): Subscriber =>
  (event) => {
    if (event.type !== "request_ended" || !logger.isLevelEnabled("debug")) return;
    const { request, status, start, end } = event;
    const { requestId, method, path } = request;
    logger.debug({ request_id: requestId, method, path, status, seconds: (end - start) / 1000 }, "answered");
  };
