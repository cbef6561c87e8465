import type { IncomingMessage } from "node:http";
import { Readable } from "node:stream";
import type { FastifyInstance } from "fastify";
import { type Patience, watchClient } from "./client-watch.ts";
import { waitsToBeAsked } from "./expectations.ts";
import { BODY_TIMEOUT } from "./intake.ts";

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
    if (!sent) request.socket.destroy();
  });
}
