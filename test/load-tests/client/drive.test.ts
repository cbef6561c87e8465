import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, test } from "vitest";
import { bursts, poisson } from "../../../load-tests/client/arrivals.ts";
import { type Answer, drive, type Post } from "../../../load-tests/client/drive.ts";
import { driveApart } from "../../../load-tests/client/drive-apart.ts";

const TIMING = "decode;dur=0.1, queue;dur=0.2, encode;dur=0.3, write;dur=0.4, total;dur=1.5";
let close: () => void = () => {};
afterEach(() => close());

async function serve(handle: (body: Buffer, request: IncomingMessage, reply: ServerResponse) => void): Promise<string> {
  const server = createServer((request, reply) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => handle(Buffer.concat(chunks), request, reply));
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  close = () => {
    server.closeAllConnections();
    server.close();
  };
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const post = (body: Buffer, judge: (answer: Answer) => void = () => {}): Post => ({
  path: "/x",
  headers: { "content-type": "application/octet-stream" },
  body,
  rows: 3,
  judge,
});

/** Every byte there is, more than one chunk long. */
const bytes = (seed: number): Buffer => Buffer.from(Array.from({ length: 200_000 }, (_, i) => (i * 31 + seed) & 255));

test("bodies go and come byte for byte, to the judge of the request that they answer", async () => {
  const base = await serve((body, _request, reply) =>
    reply.writeHead(200, { "content-type": "application/x", "server-timing": TIMING }).end(body),
  );
  let wrong = 0;
  let right = 0;
  const seen = await drive({
    base,
    connections: 3,
    seconds: 0.3,
    posts: (connection) =>
      [0, 1].map((q) => {
        const body = bytes(connection * 2 + q);
        return post(body, (answer) => {
          if (answer.body.equals(body) && answer.contentType === "application/x") right++;
          else wrong++;
        });
      }),
  });
  expect(wrong).toBe(0);
  expect(right).toBe(seen.sent);
  expect(seen.sent).toBeGreaterThanOrEqual(3);
  expect(seen.lost).toBe(0);
  expect(seen.statuses.get(200)).toBe(seen.sent);
  expect(seen.stages).toHaveLength(seen.sent);
  expect(seen.stages[0]).toEqual({ decode: 0.1, queue: 0.2, encode: 0.3, write: 0.4, total: 1.5 });
  expect(seen.goodRows).toBe(seen.goodRequests * 3);
});

test("a load from a process of its own is the same, its answers judged here", async () => {
  const base = await serve((body, _request, reply) =>
    reply.writeHead(200, { "content-type": "application/x", "server-timing": TIMING }).end(body),
  );
  let right = 0;
  const apart = await driveApart({
    base,
    connections: 2,
    seconds: 0.2,
    posts: (connection) =>
      [0, 1].map((q) => {
        const body = bytes(connection * 2 + q);
        return post(body, (answer) => {
          if (answer.body.equals(body) && answer.status === 200) right++;
        });
      }),
  });
  const seen = await apart.start();
  await apart.end();
  expect(seen.sent).toBeGreaterThanOrEqual(2);
  expect(right).toBe(seen.sent);
  expect(seen.statuses.get(200)).toBe(seen.sent);
});

test("with arrivals, what was due is sent or counted as unsent", async () => {
  const base = await serve((_body, _request, reply) => reply.writeHead(200, { "server-timing": TIMING }).end("{}"));
  const seen = await drive({
    base,
    connections: 2,
    seconds: 0.45,
    arrivals: bursts(5, 100),
    posts: () => [post(Buffer.from("a"))],
  });
  // Bursts at 0, 100, 200, 300 and 400 ms.
  expect(seen.sent + seen.unsent).toBe(25);
  expect(seen.latencies).toHaveLength(seen.sent);
});

test("refusals are told from answers, and are no latency", async () => {
  const base = await serve((_body, request, reply) =>
    request.headers["x-refuse"] === "1"
      ? reply.writeHead(429).end()
      : reply.writeHead(200, { "server-timing": TIMING }).end("{}"),
  );
  const refused = { ...post(Buffer.from("a")), headers: { "x-refuse": "1" } };
  const seen = await drive({ base, connections: 1, seconds: 0.2, posts: () => [post(Buffer.from("a")), refused] });
  expect(seen.refusals).toHaveLength(seen.statuses.get(429)!);
  expect(seen.latencies).toHaveLength(seen.statuses.get(200)!);
  expect(seen.refusals.length + seen.latencies.length).toBe(seen.sent);
});

test("a request whose connection is cut counts as lost, and the next ones are not confused by it", async () => {
  let served = 0;
  const base = await serve((body, request, reply) => {
    if (++served === 2) request.socket.destroy();
    else reply.writeHead(200, { "server-timing": TIMING }).end(body);
  });
  let wrong = 0;
  const seen = await drive({
    base,
    connections: 1,
    seconds: 0.3,
    posts: () =>
      [0, 1, 2].map((q) => {
        const body = Buffer.from([q]);
        return post(body, (answer) => {
          if (!answer.body.equals(body)) wrong++;
        });
      }),
  });
  expect(seen.lost).toBe(1);
  expect(wrong).toBe(0);
  expect(seen.latencies).toHaveLength(seen.sent - 1);
});

test("no load goes to another machine", async () => {
  const elsewhere = { base: "http://example.com", connections: 1, seconds: 1, posts: () => [post(Buffer.from("a"))] };
  await expect(drive(elsewhere)).rejects.toThrow("127.0.0.1 only");
});

test("arrivals of a seed are the same every time, and of the rate", () => {
  const take = (seed: number): number[] => {
    const arrivals = poisson(1000, seed);
    return Array.from({ length: 5000 }, () => arrivals.next().value);
  };
  expect(take(3)).toEqual(take(3));
  expect(take(3)).not.toEqual(take(4));
  expect(take(3).at(-1)! / 5000).toBeCloseTo(1, 1);
});
