import { lookup } from "node:dns/promises";
import { once } from "node:events";
import { lstat, rm } from "node:fs/promises";
import type { Server as HttpServer } from "node:http";
import { type AddressInfo, connect, createServer, type Server } from "node:net";
import type { FastifyBaseLogger, FastifyInstance } from "fastify";
import { processLimit } from "../engine/core/process-limits.ts";
import { shortageOf } from "../engine/core/errors.ts";
import { BODY_HIGH_WATER } from "./app.ts";
import { connectionEvent } from "./plugins/connections.ts";
import { localSockets } from "./plugins/host.ts";
import type { Settings } from "./settings.ts";

/** Error codes for an address that a name has but this machine does not. */
const NOT_HERE = new Set(["EADDRNOTAVAIL", "EAFNOSUPPORT"]);

/**
 * Listens on an address, or on all addresses of `localhost`. All connections go to one HTTP server under one set of
 * rules; Fastify would create a second server without them.
 * @returns the base URL of the first
 * @throws Error with a sentence, when an address cannot be used
 */
export async function listen(
  app: FastifyInstance,
  { host, port, socket = "" }: Pick<Settings, "host" | "port"> & Partial<Pick<Settings, "socket">>,
): Promise<string> {
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
        `Listening at ${address}; dictionaries are loading, and each is served as soon as it is loaded.`,
    });
    const { port: taken } = app.server.address() as AddressInfo;
    for (at of rest) {
      const server = await forward(app.server, at, taken);
      if (server !== null) others.push(server);
    }
    if (socket !== "") {
      others.push(await listenLocally(app.server, (at = socket)));
      app.log.info(`Listening at ${socket}.`);
    }
    for (const server of [app.server, ...others]) surviveAccept(server, app.log);
    return base;
  } catch (error) {
    await app.close();
    const { code } = error as NodeJS.ErrnoException;
    const message =
      at === socket && socket !== ""
        ? `Cannot listen on ${socket}: ${code === "EADDRINUSE" ? "it is in use" : (error as Error).message}. Check PURSUIT_SOCKET.`
        : code === "EADDRINUSE"
          ? `${at}:${port} is in use by another process. Choose another port with PURSUIT_PORT or --port.`
          : `Cannot listen on ${at}:${port} (${code ?? String(error)}). Check PURSUIT_HOST and PURSUIT_PORT.`;
    throw new Error(message, { cause: error });
  }
}

/** Milliseconds between two log lines about failed accepts. */
const QUIET = 60_000;

/** Keeps a failed accept, such as for lack of a descriptor, from ending the process. */
function surviveAccept(server: Server, log: FastifyBaseLogger): void {
  let said = -Infinity;
  server.on("error", (error) => {
    if (performance.now() - said < QUIET) return;
    said = performance.now();
    log.warn(`A connection could not be accepted: ${shortageOf(error) ?? error.message}.`);
  });
}

/** Open files left for runtime processes, dictionaries and saved sets; half of them if there are few. */
const OTHER_FILES = 256;

/** Maximum open connections: by the settings, and within the limit on open files. */
export function connectionLimit({ maxConnections }: Pick<Settings, "maxConnections">): number {
  const files = processLimit("openFiles");
  return Math.min(maxConnections, Math.max(1, Math.floor(files - Math.min(OTHER_FILES, files / 2))));
}

/**
 * Listens on a Unix socket, in plain HTTP. One that a process left behind is replaced.
 * @throws Error EADDRINUSE where a process listens on it, or another kind of file is there
 */
async function listenLocally(to: HttpServer, path: string): Promise<Server> {
  const event = connectionEvent(to);
  const server = createServer({ allowHalfOpen: true, highWaterMark: BODY_HIGH_WATER }, (connection) => {
    localSockets.add(connection);
    to.emit(event, connection);
  });
  try {
    await once(server.listen(path), "listening");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EADDRINUSE" || !(await isLeftBehind(path))) throw error;
    await rm(path, { force: true });
    await once(server.listen(path), "listening");
  }
  return server;
}

/** Whether a path is a socket that no process listens on. */
async function isLeftBehind(path: string): Promise<boolean> {
  if (!(await lstat(path)).isSocket()) return false;
  const client = connect(path);
  try {
    await once(client, "connect");
    return false;
  } catch {
    return true;
  } finally {
    client.destroy();
  }
}

async function addressesOf(name: string): Promise<readonly string[]> {
  const found = await lookup(name, { all: true }).catch(() => []);
  return [...new Set(found.map(({ address }) => address))];
}

/** Forwards connections of one more address to the server. Null if this machine does not have the address. */
async function forward(to: HttpServer, host: string, port: number): Promise<Server | null> {
  // Options as Node uses for HTTP servers.
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
