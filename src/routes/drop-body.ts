import type { IncomingMessage } from "node:http";
import { Readable } from "node:stream";
import type { FastifyInstance } from "fastify";
import { type Patience, watchClient } from "./client-watch.ts";
import { waitsToBeAsked } from "./expectations.ts";
import { BODY_TIMEOUT } from "./intake.ts";

/** Where Node's HTTP parser keeps two of its callbacks: properties with numbers for names, known of Node 20 to 24. */
const ON_BODY = 3;
const ON_MESSAGE_COMPLETE = 4;

interface Parser {
  [ON_BODY]: ((bytes: Buffer) => unknown) | null;
  [ON_MESSAGE_COMPLETE]: (this: Parser) => unknown;
}

/**
 * Has what is still to come of a refused body dropped by the parser (docs/decisions/0016). Node copies it all into buffers
 * first, though nobody reads them: at four times what the server can do that is more bytes than it works on, and they push
 * the Gram matrix out of the cache. Where the parser is not as it is known, Node goes on as it would.
 */
export function dropBody(request: IncomingMessage): void {
  // Whether its client has begun to send shows by what is kept of its body (expectations.ts).
  if (request.complete || waitsToBeAsked(request)) return;
  const { socket } = request;
  const { parser } = socket as { parser?: Partial<Parser> | null };
  if (!isKnown(parser)) return;
  const onBody = parser[ON_BODY];
  const onMessageComplete = parser[ON_MESSAGE_COMPLETE];
  const restore = (): void => {
    parser[ON_BODY] = onBody;
    parser[ON_MESSAGE_COMPLETE] = onMessageComplete;
    socket.off("close", restore);
  };
  parser[ON_BODY] = null;
  parser[ON_MESSAGE_COMPLETE] = function complete() {
    restore();
    return onMessageComplete.call(this);
  };
  // A parser is given to another connection when its own has closed.
  socket.on("close", restore);
}

const isKnown = (parser: Partial<Parser> | null | undefined): parser is Parser =>
  parser?.[ON_BODY]?.name === "parserOnBody" && parser[ON_MESSAGE_COMPLETE]?.name === "parserOnMessageComplete";

/** Bytes of a refused body that are dropped at most. */
const MOST_DROPPED = 2 ** 30;

/**
 * Keeps a connection that ends with its answer until its client has sent its whole body: closed before, it would be reset,
 * and a client that sends everything before it reads (urllib asks for `connection: close`) would see a broken pipe and not
 * the answer. Register it after every hook that changes payloads or headers.
 */
export function registerLastAnswers(app: FastifyInstance, patience: Patience): void {
  app.addHook("onSend", ({ raw }, reply, payload, next) => {
    const ends = !reply.raw.shouldKeepAlive || reply.getHeader("connection") === "close";
    // A body that stalls is not waited for, nor one that nobody asked for.
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
 * Calls back once the body was sent, the client has gone, or goes on for too long, too slowly or for too many bytes.
 * @param done told whether it was sent
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
  dropBody(request);
  request.resume();
}

/** Ends the connection of a client that goes on sending a body after its answer, as {@link registerLastAnswers} does. */
export function endDripping(request: IncomingMessage, patience: Patience): void {
  onceSent(request, patience, (sent) => {
    if (!sent) request.socket.destroy();
  });
}
