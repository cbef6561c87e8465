/**
 * Reads each body, and answers with what the server at the base it is given answered to the same body before. Started by
 * limit-server.ts, to which it says its port.
 */
import type { AddressInfo } from "node:net";
import Fastify from "fastify";

const base = process.argv[2]!;
/** Bytes by which bodies are told apart: rows of a load differ in their first numbers. */
const HEAD_BYTES = 256;

const app = Fastify({ bodyLimit: 1 << 28 });
const remembered = new Map<string, string>();

app.removeAllContentTypeParsers();
app.addContentTypeParser("application/json", { parseAs: "buffer" }, (_request, body, done) => done(null, body));
app.post<{ Body: Buffer }>("/*", async (request, reply) => {
  void reply.type("application/json");
  const head = `${request.body.length} ${request.body.toString("latin1", 0, HEAD_BYTES)}`;
  const known = remembered.get(head);
  if (known !== undefined) return known;
  const headers = { "content-type": "application/json", accept: "application/json" };
  const answer = await fetch(`${base}${request.url}`, {
    method: "POST",
    headers,
    body: request.body as Uint8Array<ArrayBuffer>,
  });
  if (answer.status !== 200) throw new Error(`${base} answered ${answer.status}`);
  const text = await answer.text();
  remembered.set(head, text);
  return text;
});

await app.listen({ host: "127.0.0.1", port: 0 });
process.send!((app.server.address() as AddressInfo).port);
