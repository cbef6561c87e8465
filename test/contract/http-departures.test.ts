/** A client that leaves before its answer: what it held is given back, and nobody works for it any longer. */
import { once } from "node:events";
import { type ClientRequest, request as open } from "node:http";
import type { AddressInfo } from "node:net";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { clientClosed } from "../../src/engine/core/errors.ts";
import { type TestApp, testApp } from "../support/test-app.ts";
import { v2Body } from "../support/v2-body.ts";

const ENCODE = "/v1/dictionaries/small/encode";
const JSON_BODY = JSON.stringify({ inputs: [[1, 2]], budget: { max_atoms: 3 } });
const JSON_TYPE = { "content-type": "application/json" };
/** Room for one of the bodies below and not for two; a line counts as 128 bytes more than its own. */
const ROOM = 65;
const STREAM_ROOM = 200;

let test: TestApp;
afterEach(() => test.app.close());

const call = (path: string, headers: object, body: string | Uint8Array): ClientRequest => {
  const { port } = test.app.server.address() as AddressInfo;
  const made = open({ host: "127.0.0.1", port, method: "POST", path, headers: { ...headers }, agent: false });
  made.on("error", () => {}).end(body);
  return made;
};

/** The engine does as told for one request: it works until its client is gone. Resolves when that has begun. */
function holdsOne(): Promise<void> {
  return new Promise((begun) => {
    vi.spyOn(test.engine, "encode").mockImplementationOnce(async (_id, _request, { cancellation }) => {
      begun();
      if (!cancellation.cancelled) await new Promise<void>((gone) => cancellation.listen(gone));
      throw clientClosed();
    });
  });
}

async function statusOf(path: string, headers: object, body: string | Uint8Array): Promise<number> {
  const [answer] = (await once(call(path, headers, body), "response")) as [{ statusCode: number; resume: () => void }];
  answer.resume();
  return answer.statusCode;
}

const INFER = v2Body([{ name: "rows", datatype: "FP32", shape: [1, 2], data: [1, 2] }]);

describe.each([
  ["JSON", ROOM, ENCODE, JSON_TYPE, JSON_BODY],
  ["gzip", ROOM, ENCODE, { ...JSON_TYPE, "content-encoding": "gzip" }, gzipSync(JSON_BODY)],
  ["lines", STREAM_ROOM, ENCODE, { "content-type": "application/x-ndjson" }, "[1,2]\n"],
  ["an inference", 120, "/v2/models/small/infer", INFER.headers, INFER.payload],
] as const)("a client that sent %s and leaves while its rows wait", (_what, room, path, headers, body) => {
  beforeEach(async () => {
    test = await testApp({ maxBody: room, maxBytesInFlight: room });
    await test.app.listen({ port: 0, host: "127.0.0.1" });
  });

  it("gives back what was set aside for its body", async () => {
    for (let i = 0; i < 3; i++) {
      const begun = holdsOne();
      const left = call(path, headers, body);
      // An answer would mean that it is not held.
      expect(await Promise.race([begun, once(left, "response").then(() => "answered")])).toBeUndefined();
      // Another one does not fit meanwhile.
      expect(await statusOf(path, headers, body)).toBe(429);
      const counted = test.requests.length;
      left.destroy();
      let status = 429;
      while (status === 429) status = await statusOf(path, headers, body);
      expect(status).toBe(200);
      expect(test.requests.slice(counted).filter((request) => request.status === 499)).toHaveLength(1);
    }
  });
});
