import { lookup } from "node:dns/promises";
import { once } from "node:events";
import type { Server as HttpServer } from "node:http";
import { type AddressInfo, createServer, type Server } from "node:net";
import type { FastifyBaseLogger, FastifyInstance } from "fastify";
import { processLimit } from "../engine/core/process-limits.ts";
import { shortageOf } from "../engine/core/errors.ts";
import { BODY_HIGH_WATER } from "./app.ts";
import type { Settings } from "./settings.ts";

/** Codes of an address that a name has, and this machine has not. */
const NOT_HERE = new Set(["EADDRNOTAVAIL", "EAFNOSUPPORT"]);

/**
 * Listens on an address, or on all that `localhost` has: connections of each go to one HTTP server, under one set of rules.
 * Fastify would make a second server for the second address, without them.
 * @returns the base URL of the first
 * @throws Error in words, when an address cannot be listened on
 */
export async function listen(app: FastifyInstance, { host, port }: Pick<Settings, "host" | "port">): Promise<string> {
  const others: Server[] = [];
  app.server.once("close", () => {
    for (const server of others) server.close();
  });
  const [first = host, ...rest] = host === "localhost" ? await addressesOf(host) : [host];
  let at = first;
  try {
    const base = await app.listen({
      host: first,
      port,
      listenTextResolver: (address) =>
        `Listening at ${address}; dictionaries are being loaded, and each is served once it is.`,
    });
    const { port: taken } = app.server.address() as AddressInfo;
    for (at of rest) {
      const server = await forward(app.server, at, taken);
      if (server !== null) others.push(server);
    }
    for (const server of [app.server, ...others]) surviveAccept(server, app.log);
    return base;
  } catch (error) {
    await app.close();
    const { code } = error as NodeJS.ErrnoException;
    const message =
      code === "EADDRINUSE"
        ? `${at}:${port} is taken by another process; PURSUIT_PORT or --port names another port.`
        : `${at}:${port} cannot be listened on (${code ?? String(error)}); see PURSUIT_HOST and PURSUIT_PORT.`;
    throw new Error(message, { cause: error });
  }
}

/** Milliseconds between two log lines about connections that could not be accepted. */
const QUIET = 60_000;

/** Keeps an accept that fails, such as for want of a descriptor, from ending the process. */
function surviveAccept(server: Server, log: FastifyBaseLogger): void {
  let said = -Infinity;
  server.on("error", (error) => {
    if (performance.now() - said < QUIET) return;
    said = performance.now();
    log.warn(`A connection could not be accepted: ${shortageOf(error) ?? error.message}.`);
  });
}

/** Open files that are left for runtime processes, dictionaries and saved sets; half of them where there are few. */
const OTHER_FILES = 256;

/** How many connections may be open at once: as the settings say, and no more than the limit on open files allows. */
export function connectionLimit({ maxConnections }: Pick<Settings, "maxConnections">): number {
  const files = processLimit("openFiles");
  return Math.min(maxConnections, Math.max(1, Math.floor(files - Math.min(OTHER_FILES, files / 2))));
}

async function addressesOf(name: string): Promise<readonly string[]> {
  const found = await lookup(name, { all: true }).catch(() => []);
  return [...new Set(found.map(({ address }) => address))];
}

/** Hands connections to one more address to the server. Null where this machine does not have the address. */
async function forward(to: HttpServer, host: string, port: number): Promise<Server | null> {
  // As Node makes the sockets of an HTTP server.
  const server = createServer({ allowHalfOpen: true, noDelay: true, highWaterMark: BODY_HIGH_WATER }, (socket) => {
    to.emit("connection", socket);
  });
  server.listen(port, host);
  try {
    await once(server, "listening");
    return server;
  } catch (error) {
    if (NOT_HERE.has((error as NodeJS.ErrnoException).code ?? "")) return null;
    throw error;
  }
}
