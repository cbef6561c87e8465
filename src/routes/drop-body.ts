import type { IncomingMessage } from "node:http";
import { waitsToBeAsked } from "./expectations.ts";

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
