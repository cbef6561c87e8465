import type { FastifyBaseLogger } from "fastify";
import type { Bindings, ChildLoggerOptions, Level, Logger, LogFn } from "pino";

/**
 * A request's logger, created at its first message: most requests log nothing, and pino's child with its redactions
 * takes longer than routing a request.
 */
export class RequestLogger implements FastifyBaseLogger {
  readonly #parent: Logger;
  readonly #bindings: Bindings;
  readonly #options: ChildLoggerOptions;
  #own: Logger | null = null;

  constructor(parent: Logger, bindings: Bindings, options: ChildLoggerOptions) {
    this.#parent = parent;
    this.#bindings = bindings;
    this.#options = options;
  }

  get level(): string {
    return this.#parent.level;
  }

  child(bindings: Bindings, options?: ChildLoggerOptions): FastifyBaseLogger {
    return this.#made().child(bindings, options) as FastifyBaseLogger;
  }

  silent(): void {}

  fatal(...said: Parameters<LogFn>): void {
    this.#say("fatal", said);
  }

  error(...said: Parameters<LogFn>): void {
    this.#say("error", said);
  }

  warn(...said: Parameters<LogFn>): void {
    this.#say("warn", said);
  }

  info(...said: Parameters<LogFn>): void {
    this.#say("info", said);
  }

  debug(...said: Parameters<LogFn>): void {
    this.#say("debug", said);
  }

  trace(...said: Parameters<LogFn>): void {
    this.#say("trace", said);
  }

  #say(level: Level, said: Parameters<LogFn>): void {
    if (this.#parent.isLevelEnabled(level)) this.#made()[level](...said);
  }

  #made(): Logger {
    return (this.#own ??= this.#parent.child(this.#bindings, this.#options));
  }
}
