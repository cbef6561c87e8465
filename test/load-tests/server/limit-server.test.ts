import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, test } from "vitest";
import { startLimit } from "../../../load-tests/server/limit-server.ts";

const ended: (() => unknown)[] = [];
afterEach(() => Promise.all(ended.splice(0).map((end) => end())));

test("each body is asked about once, and has its own answer afterwards", async () => {
  let asked = 0;
  const server = createServer((request, reply) => {
    asked++;
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => reply.end(`${request.url} ${Buffer.concat(chunks).toString()}`));
  }).listen(0, "127.0.0.1");
  ended.push(() => server.close());
  await once(server, "listening");
  const limit = await startLimit(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  ended.push(limit.stop);

  const answers: string[] = [];
  for (const body of ["[1]", "[2]", "[1]", "[2]"]) {
    const headers = { "content-type": "application/json" };
    const answer = await fetch(`${limit.base}/x/y`, { method: "POST", headers, body });
    answers.push(await answer.text());
  }
  expect(answers).toEqual(["/x/y [1]", "/x/y [2]", "/x/y [1]", "/x/y [2]"]);
  expect(asked).toBe(2);
});
