import type { Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { Server as TlsServer } from "node:tls";
import { answerBare } from "../../routes/error-handler.ts";

export interface ConnectionLimit {
  /** Maximum open connections. */
  readonly maxConnections: number;
}

/** First bytes of every HTTP/1 answer. */
const BEGINNING = "HTTP/1.1 ";

/** Milliseconds between the first two probe bytes, and the growth of later intervals. */
const FIRST_INTERVAL = 50;
const INTERVAL_GROWTH = 4;

/** Event of a connection that is ready for requests. */
export const connectionEvent = (server: Server): string =>
  server instanceof TlsServer ? "secureConnection" : "connection";

/** Connections in their TLS handshake beside those that are counted. */
const HANDSHAKES = 64;

/** What is known of a connection. */
interface Connection {
  /** performance.now() */
  readonly since: number;
  /** Answers not sent yet. */
  readonly owed: Set<ServerResponse>;
}

/**
 * Rules for connections, on every address of the server. At the limit a new connection replaces the one that was idle
 * longest; if none is idle, the slowest whose client has to act; if there is none, it is refused. A client may end its
 * half of the connection after its request and still gets its answer.
 */
export class Connections {
  readonly #limit: number;
  readonly #onRefused: () => void;
  readonly #open = new Map<Socket, Connection>();
  /** Connections without pending answers, the one idle longest first. */
  readonly #idle = new Set<Socket>();

  constructor({ maxConnections }: ConnectionLimit, onRefused: () => void) {
    this.#limit = maxConnections;
    this.#onRefused = onRefused;
  }

  /** Applies the rules to a server, before it listens. */
  guard(server: Server): void {
    const event = connectionEvent(server);
    // A client in its handshake has no place yet; a few may wait for one.
    if (server instanceof TlsServer) server.maxConnections = this.#limit + HANDSHAKES;
    const accept = server.listeners(event) as ((socket: Socket) => void)[];
    server.removeAllListeners(event);
    // An option of Node that its types lack.
    Object.assign(server, { httpAllowHalfOpen: true });
    server.on(event, (socket: Socket) => {
      if (!this.#admit(socket)) return;
      for (const one of accept) one.call(server, socket);
      // Runs after Node's own listener, which refuses a request that was cut off.
      socket.on("end", () => this.#probe(socket));
    });
    server.on("request", ({ socket }, response) => this.#owe(socket, response));
  }

  #admit(socket: Socket): boolean {
    if (this.#open.size >= this.#limit) {
      const [longest = this.#slowest()] = this.#idle;
      if (longest === undefined) {
        this.#refuse(socket);
        return false;
      }
      this.#forget(longest);
      longest.destroy();
    }
    this.#open.set(socket, { since: performance.now(), owed: new Set() });
    this.#idle.add(socket);
    socket.once("close", () => this.#forget(socket));
    return true;
  }

  #forget(socket: Socket): void {
    this.#open.delete(socket);
    this.#idle.delete(socket);
  }

  /** Of the connections that wait for their client, the one with the fewest bytes per millisecond. */
  #slowest(): Socket | undefined {
    const now = performance.now();
    let slowest: Socket | undefined;
    let lowest = Infinity;
    for (const [socket, { since, owed }] of this.#open) {
      if (![...owed].some((response) => awaitsClient(socket, response))) continue;
      const rate = (socket.bytesRead + socket.bytesWritten - socket.writableLength) / (now - since);
      if (rate >= lowest) continue;
      lowest = rate;
      slowest = socket;
    }
    return slowest;
  }

  #refuse(socket: Socket): void {
    this.#onRefused();
    const detail = `All ${this.#limit} connections of the server (PURSUIT_MAX_CONNECTIONS) are in use. Send the request again later.`;
    answerBare(socket, "", { code: "PURSUIT_TOO_MANY_CONNECTIONS", detail, retryAfter: 1 });
    socket.resume().once("finish", () => socket.destroy());
  }

  #owe(socket: Socket, response: ServerResponse): void {
    const owed = this.#open.get(socket)?.owed;
    if (owed === undefined) return;
    owed.add(response);
    this.#idle.delete(socket);
    response.once("close", () => {
      owed.delete(response);
      if (owed.size === 0 && this.#open.has(socket)) this.#idle.add(socket);
    });
  }

  /**
   * Finds out whether a client that ended its half of the connection has left or waits for its answer: both look the
   * same until something is sent. The start of the answer is known, so it is sent byte by byte at growing intervals. A
   * client that has left resets the connection at the first byte, which shows at the next.
   */
  #probe(socket: Socket): void {
    const [response, another] = this.#open.get(socket)?.owed ?? [];
    if (response === undefined || another !== undefined || response.headersSent || !socket.writable) return;
    const write = socket.write.bind(socket);
    let sent = 0;
    let timer: NodeJS.Timeout | undefined;
    const send = (): void => {
      write(BEGINNING[sent]!);
      sent++;
      if (sent < BEGINNING.length) timer = setTimeout(send, FIRST_INTERVAL * INTERVAL_GROWTH ** (sent - 1));
    };
    socket.once("close", () => clearTimeout(timer));
    socket.write = (chunk: unknown, ...rest: never[]) => {
      clearTimeout(timer);
      socket.write = write;
      if (typeof chunk === "string" && chunk.startsWith(BEGINNING)) return write(chunk.slice(sent), ...rest);
      // Not as Node ends answers: nothing may follow the bytes already sent.
      socket.destroy();
      return false;
    };
    send();
  }
}

/** Whether the server waits for a client to send more of its request or to read its answer. */
const awaitsClient = (socket: Socket, { req, headersSent }: ServerResponse): boolean =>
  !req.complete || (headersSent && socket.writableLength > 0);
