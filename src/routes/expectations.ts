import type { IncomingMessage, Server, ServerResponse } from "node:http";

/** Requests whose client waits to be told to go on. */
const waiting = new WeakMap<IncomingMessage, ServerResponse>();

/**
 * What requests expect of their server (RFC 9110 §10.1.1). 100-continue is not answered before somebody wants the body, as
 * Node would: who is refused by the head alone need not send it. A blank `Expect:` is none, since libcurl clients switch
 * the header off by blanking it and Node would answer 417 to it, as it does to any other.
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

/** Whether its client waits to be told to go on. */
export const waitsToBeAsked = (request: IncomingMessage): boolean => waiting.has(request);

/**
 * Whether the connection ends with the answer, since its client waits still and nobody can know whether the body comes. One
 * that has sent of its body all the same is asked for the rest, which is dropped like any that is refused: ended in the
 * midst of it, the connection would be reset and the answer lost.
 */
export function endsUnasked(request: IncomingMessage): boolean {
  if (!waitsToBeAsked(request)) return false;
  if (request.readableLength === 0) return true;
  askForBody(request);
  return false;
}

/** Tells a client that waits for it to send its body. */
export function askForBody(request: IncomingMessage): void {
  const response = waiting.get(request);
  if (response === undefined) return;
  waiting.delete(request);
  response.writeContinue();
}
