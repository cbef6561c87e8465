import { isatty } from "node:tty";
import { type DestinationStream, type Logger, pino } from "pino";
import type { FastifyRequest } from "fastify";
import pretty from "pino-pretty";
import type { Subscriber } from "../engine/core/telemetry.ts";
import { pathOf } from "../routes/request-span.ts";
import { REDACTED, redactor } from "./redact.ts";

const STDERR = 2;

/** Headers that hold keys of this server or others. */
const SECRET_HEADERS = ["authorization", "proxy-authorization", "cookie", "x-api-key"];

/** Places of such headers in logged requests and errors. */
const PLACES = ["", "headers", "*.headers", "err.*.headers"];
const PATHS = PLACES.flatMap((place) => SECRET_HEADERS.map((name) => `${place}["${name}"]`));

/** Logs go to standard error: JSON lines, or plain ones on a terminal. Standard output is for people. */
const standardError = (): DestinationStream =>
  isatty(STDERR)
    ? pretty({ destination: STDERR, sync: true, translateTime: "HH:MM:ss", ignore: "dictionary,seconds" })
    : pino.destination(STDERR);

/**
 * Creates the log. Known keys are removed from every line. Unknown keys are removed by place: headers that hold keys,
 * and everything after a URL's path.
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
