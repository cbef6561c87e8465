import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { Readable } from "node:stream";
import type { FastifyInstance } from "fastify";

/** Maximum milliseconds for a whole body, however steadily it arrives. */
export const BODY_TIMEOUT = 300_000;

/** Limits on slow clients. */
export interface Patience {
  /** Milliseconds after which a slow client is disconnected. */
  readonly stallMs: number;
  /** Minimum bytes a second that it must send of a body or read of an answer. */
  readonly minRate: number;
}

/** Minimum bytes that a client must move in each half of `stallMs`; at least one. */
export const leastBytes = ({ stallMs, minRate }: Patience): number => Math.max(1, (minRate * stallMs) / 2000);

interface ClientWatch {
  readonly patience: Patience;
  /** Bytes moved by the client so far. */
  readonly progress: () => number;
  /** Whether the server waits for the client: its own work is not the client's fault. */
  readonly waitsForClient: () => boolean;
  readonly onStall: () => void;
}

/**
 * Calls `onStall` once when a client was slower than {@link leastBytes} for `stallMs` (up to half as much again) while
 * the server waited for it.
 * @returns ends the watch
 */
export function watchClient({ patience, progress, waitsForClient, onStall }: ClientWatch): () => void {
  const least = leastBytes(patience);
  let seen = progress();
  let slow = false;
  const look = (): void => {
    const now = progress();
    const slowAgain = now - seen < least && waitsForClient();
    seen = now;
    if (slow && slowAgain) {
      stop();
      onStall();
    } else slow = slowAgain;
  };
  let looking: NodeJS.Immediate | undefined;
  // Bytes that arrived while the event loop was busy are read between a timer and an immediate.
  const timer = setInterval(() => (looking = setImmediate(look)), patience.stallMs / 2);
  const stop = (): void => {
    clearInterval(timer);
    clearImmediate(looking);
  };
  return stop;
}

/** Requests whose client waits for 100-continue. */
const waiting = new WeakMap<IncomingMessage, ServerResponse>();

/**
 * Handles expectations of requests (RFC 9110 §10.1.1). 100-continue is sent only once the body is wanted, so a client
 * refused by its head need not send it; Node would send it at once. A blank `Expect:` counts as none: libcurl clients
 * switch the header off that way, and Node would answer 417.
 */
export function meetExpectations(server: Server): void {
  server.on("checkContinue", (request, response) => {
    waiting.set(request, response);
    server.emit("request", request, response);
  });
  server.on("checkExpectation", (request, response) => {
    if (request.headers.expect?.trim() === "") server.emit("request", request, response);
    else response.writeHead(417).end();
  });
}

/** Whether its client waits for 100-continue. */
export const waitsToBeAsked = (request: IncomingMessage): boolean => waiting.has(request);

/**
 * Whether the connection ends with the answer: its client still waits for 100-continue, and it is unknown whether the
 * body will come. If part of the body has arrived, the rest is read and dropped: closing in the middle would reset the
 * connection and lose the answer.
 */
export function endsUnasked(request: IncomingMessage): boolean {
  if (!waitsToBeAsked(request)) return false;
  if (request.readableLength === 0) return true;
  askForBody(request);
  return false;
}

/** Tells a waiting client to send its body. */
export function askForBody(request: IncomingMessage): void {
  const response = waiting.get(request);
  if (response === undefined) return;
  waiting.delete(request);
  response.writeContinue();
}

/** Maximum bytes of a refused body that are read and dropped. */
const MOST_DROPPED = 2 ** 30;

/**
 * Keeps a connection that ends with its answer open until its client has sent its whole body. Closed earlier, it would
 * be reset, and a client that sends everything before it reads (urllib with `connection: close`) would get a broken
 * pipe, not the answer. Register it after every hook that changes payloads or headers.
 */
export function registerLastAnswers(app: FastifyInstance, patience: Patience): void {
  app.addHook("onSend", ({ raw }, reply, payload, next) => {
    const ends = !reply.raw.shouldKeepAlive || reply.getHeader("connection") === "close";
    // Wait neither for a stalled body nor for one that was never asked for.
    if (!ends || raw.complete || raw.method === "HEAD") return next();
    if (reply.statusCode === 408 || waitsToBeAsked(raw)) return next();
    if (typeof payload !== "string" && !(payload instanceof Uint8Array)) return next();
    void reply.header("connection", "close").header("content-length", Buffer.byteLength(payload));
    const answer = new Readable({ read() {} });
    answer.push(payload);
    onceSent(raw, patience, () => answer.push(null));
    next(null, answer);
  });
}

/**
 * Reads and drops the rest of a body. Calls back once it was sent, the client has left, or it takes too long, too
 * slowly or too many bytes.
 * @param done gets whether the whole body was sent
 */
function onceSent(request: IncomingMessage, patience: Patience, done: (sent: boolean) => void): void {
  const { socket } = request;
  const most = socket.bytesRead + MOST_DROPPED;
  const latest = performance.now() + BODY_TIMEOUT;
  let over = false;
  const settle = (sent: boolean): void => {
    if (over) return;
    over = true;
    endWatch();
    socket.off("close", onClose);
    request.off("end", onEnd);
    done(sent);
  };
  const onClose = (): void => settle(false);
  const onEnd = (): void => settle(true);
  const endWatch = watchClient({
    patience,
    progress: () => {
      if (socket.bytesRead > most || performance.now() > latest) onClose();
      return socket.bytesRead;
    },
    waitsForClient: () => true,
    onStall: onClose,
  });
  socket.once("close", onClose);
  request.once("end", onEnd);
  request.resume();
}

/**
 * Ends the connection of a client that goes on sending a body after its answer, as {@link registerLastAnswers} does.
 */
export function endDripping(request: IncomingMessage, patience: Patience): void {
  onceSent(request, patience, (sent) => {
    if (!sent) request.destroy();
  });
}
