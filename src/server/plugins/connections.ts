import type { Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { answerBare } from "../../routes/error-handler.ts";

export interface ConnectionLimit {
  /** Connections at once, at most. */
  readonly maxConnections: number;
}

/** How every HTTP/1 answer begins, whatever it says. */
const BEGINNING = "HTTP/1.1 ";

/** Milliseconds between its first two letters, and by how much each later interval is longer. */
const FIRST_INTERVAL = 50;
const INTERVAL_GROWTH = 4;

/**
 * Rules for connections, on every address that the server listens on. At the limit a new connection takes the place of the
 * one that was idle the longest, and is refused where none is idle. A client may end its half of the connection after its
 * request and still get its answer.
 */
export class Connections {
  readonly #limit: number;
  readonly #onRefused: () => void;
  /** Answers that each connection still owes. */
  readonly #owed = new Map<Socket, Set<ServerResponse>>();
  /** Connections that owe none, the one idle the longest first. */
  readonly #idle = new Set<Socket>();

  constructor({ maxConnections }: ConnectionLimit, onRefused: () => void) {
    this.#limit = maxConnections;
    this.#onRefused = onRefused;
  }

  /** Applies the rules to a server, before it listens. */
  guard(server: Server): void {
    const accept = server.listeners("connection") as ((socket: Socket) => void)[];
    server.removeAllListeners("connection");
    // Of Node, though none of its types.
    Object.assign(server, { httpAllowHalfOpen: true });
    server.on("connection", (socket: Socket) => {
      if (!this.#admit(socket)) return;
      for (const one of accept) one.call(server, socket);
      // After Node's own listener: a request that was cut off has been refused by then.
      socket.on("end", () => this.#probe(socket));
    });
    server.on("request", ({ socket }, response) => this.#owe(socket, response));
  }

  #admit(socket: Socket): boolean {
    if (this.#owed.size >= this.#limit) {
      const [longest] = this.#idle;
      if (longest === undefined) {
        this.#refuse(socket);
        return false;
      }
      this.#forget(longest);
      longest.destroy();
    }
    this.#owed.set(socket, new Set());
    this.#idle.add(socket);
    socket.once("close", () => this.#forget(socket));
    return true;
  }

  #forget(socket: Socket): void {
    this.#owed.delete(socket);
    this.#idle.delete(socket);
  }

  #refuse(socket: Socket): void {
    this.#onRefused();
    const detail = `The server takes ${this.#limit} connections at once (PURSUIT_MAX_CONNECTIONS), and all are at work. Come again later.`;
    answerBare(socket, "", { code: "PURSUIT_TOO_MANY_CONNECTIONS", detail, retryAfter: 1 });
    socket.resume().once("finish", () => socket.destroy());
  }

  #owe(socket: Socket, response: ServerResponse): void {
    const owed = this.#owed.get(socket);
    if (owed === undefined) return;
    owed.add(response);
    this.#idle.delete(socket);
    response.once("close", () => {
      owed.delete(response);
      if (owed.size === 0 && this.#owed.has(socket)) this.#idle.add(socket);
    });
  }

  /**
   * Finds out whether a client that ended its half of the connection has left or waits for its answer: both look the same
   * until something is sent. How the answer begins is known, so it is sent letter by letter at growing intervals. A client
   * that has left resets the connection at the first, which shows at the next.
   */
  #probe(socket: Socket): void {
    const [response, another] = this.#owed.get(socket) ?? [];
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
      // Not as Node writes answers: nothing may follow the letters that are out.
      socket.destroy();
      return false;
    };
    send();
  }
}
