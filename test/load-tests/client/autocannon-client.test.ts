import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import autocannon, { type Client, type Request } from "autocannon";
import { expect, test } from "vitest";
import { type SentBytes, shareBytes } from "../../../load-tests/client/autocannon-client.ts";

test("clients send the same bytes for the same body", async () => {
  const server = createServer((request, reply) => {
    request.resume().on("end", () => reply.end("ok"));
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const sent: SentBytes = new Map();
  const body = Buffer.from("the same");
  const ready: { requestBuffer?: Buffer }[] = [];
  const setupClient = (client: Client): void => {
    const requests: Request[] = [{ method: "POST", body }];
    client.setRequests(requests);
    shareBytes(requests, sent);
    ready.push(requests[0] as object);
  };
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const { non2xx, errors } = await autocannon({ url, connections: 2, amount: 4, setupClient });
  server.close();
  expect([non2xx, errors]).toEqual([0, 0]);
  expect(String(ready[0]!.requestBuffer)).toMatch(/^POST \/ [^]*the same$/);
  expect(ready[1]!.requestBuffer).toBe(ready[0]!.requestBuffer);
});
