import type { IncomingMessage, Server, ServerResponse } from "node:http";

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
