import { isatty } from "node:tty";
import { type Logger, pino } from "pino";
import pretty from "pino-pretty";

const STDERR = 2;

/** Where a key would stand if a request, or a fault with one in it, were ever logged whole. */
export const SECRETS = [
  "authorization",
  "headers.authorization",
  "*.headers.authorization",
  "err.*.headers.authorization",
];

/** Standard output is for people, standard error for logs: JSON lines, or plain ones where a terminal shows them. */
export function createLogger(level: string): Logger {
  const terminal = isatty(STDERR);
  const stream = terminal
    ? pretty({ destination: STDERR, sync: true, translateTime: "HH:MM:ss", ignore: "dictionary,seconds" })
    : pino.destination(STDERR);
  return pino({ level, base: null, redact: SECRETS }, stream);
}
