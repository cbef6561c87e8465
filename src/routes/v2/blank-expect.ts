import type { Server } from "node:http";

/**
 * Requests with a blank `Expect:` are requests without one. libcurl clients switch the header off by blanking it, and Node
 * would answer 417 to it; any other expectation than 100-continue it refuses still.
 */
export function allowBlankExpect(server: Server): void {
  server.on("checkExpectation", (request, response) => {
    if (request.headers.expect?.trim() === "") server.emit("request", request, response);
    else response.writeHead(417).end();
  });
}
