/** The built server's spans, as an OTLP collector in this process gets them. Linux: reads /proc. */
import { readFileSync } from "node:fs";
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { itInFull } from "../support/full.ts";
import { writeModelFolder } from "../support/model-folder.ts";
import { type RunningServer, runtimeOf, runtimeStateOf, startServer } from "../support/running-server.ts";
import { killedAfterEach } from "../support/kill-after.ts";
import { normals, randomAtoms } from "../support/seeded.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";
import { until } from "../support/until.ts";

const D = 64;
const models = temporaryFolder();
writeModelFolder(models, "one", { atoms: randomAtoms(512, D, 1), d: D });

interface Context {
  readonly traceId: string;
  readonly spanId: string;
}

/** As OTLP has it in JSON; times are nanoseconds since 1970. */
interface Exported extends Context {
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: readonly { readonly key: string; readonly value: Readonly<Record<string, unknown>> }[];
  readonly links?: readonly Context[];
  readonly status: { readonly code?: number };
}

const spans: Exported[] = [];
const resources: string[] = [];
const received: IncomingHttpHeaders[] = [];
const collector = createServer((request, response) => {
  let text = "";
  request.setEncoding("utf8").on("data", (part: string) => (text += part));
  request.on("end", () => {
    received.push({ ...request.headers, ":path": request.url });
    const { resourceSpans } = JSON.parse(text) as {
      resourceSpans: { resource: object; scopeSpans: { spans: Exported[] }[] }[];
    };
    for (const { resource, scopeSpans } of resourceSpans) {
      resources.push(JSON.stringify(resource));
      spans.push(...scopeSpans.flatMap((scope) => scope.spans));
    }
    response.setHeader("content-type", "application/json");
    response.end("{}");
  });
});
let endpoint: string;
beforeAll(async () => {
  await new Promise<void>((resolve) => collector.listen(0, "127.0.0.1", resolve));
  endpoint = `http://127.0.0.1:${(collector.address() as AddressInfo).port}`;
});
afterAll(() => collector.close());
const running = killedAfterEach();

const SECRET = "a-key-of-the-collector";
const hex = (number: number, digits: number): string => number.toString(16).padStart(digits, "0");
/** What request i comes with. */
const parentOf = (i: number): Context => ({ traceId: hex(0xabc00 + i, 32), spanId: hex(0xdef00 + i, 16) });

async function encode({ base }: RunningServer, i: number, flags = "01", max_atoms = 4): Promise<Response> {
  const { traceId, spanId } = parentOf(i);
  return fetch(`${base}/v1/dictionaries/one/encode`, {
    method: "POST",
    headers: { "content-type": "application/json", traceparent: `00-${traceId}-${spanId}-${flags}` },
    body: JSON.stringify({ inputs: [[...normals(D, i)]], budget: { max_atoms } }),
  });
}

const within = (inner: Exported, outer: Exported): boolean =>
  BigInt(inner.startTimeUnixNano) >= BigInt(outer.startTimeUnixNano) &&
  BigInt(inner.endTimeUnixNano) <= BigInt(outer.endTimeUnixNano);
const attributesOf = ({ attributes }: Exported): Record<string, unknown> =>
  Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]));
const contextOf = ({ traceId, spanId }: Context): Context => ({ traceId, spanId });

describe("a server with OTEL_EXPORTER_OTLP_ENDPOINT", () => {
  const COUNT = 5;

  it("exports a span a request below the client's, its stages, its batches, and their runs in the runtime process", async () => {
    const server = await startServer(models, temporaryFolder(), {
      OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
      OTEL_EXPORTER_OTLP_HEADERS: `x-key=${SECRET}`,
      PURSUIT_WATCHDOG_MS: "600000",
      PURSUIT_BATCH_MS: "1000",
    });
    running.push(server);
    const runtime = await runtimeOf(server, "one");
    expect(readFileSync(`/proc/${runtime}/environ`, "utf8")).not.toContain(SECRET);
    // While the first hangs, the others come together in the queue, and then in one batch.
    process.kill(runtime, "SIGSTOP");
    const first = encode(server, 0);
    await until(async () => (await runtimeStateOf(server, "one")) === "hung");
    const others = Array.from({ length: COUNT - 1 }, (_, i) => encode(server, i + 1));
    await until(async () => {
      const metrics = await (await fetch(`${server.base}/metrics`)).text();
      // The first waits, too, where the process was stopped at work of its own.
      return Number(/\npursuit_queue_rows\{dictionary="one"\} (\d+)/.exec(metrics)![1]) >= COUNT - 1;
    });
    process.kill(runtime, "SIGCONT");
    for (const answer of await Promise.all([first, ...others])) expect(answer.status).toBe(200);
    expect((await encode(server, COUNT, "00")).status).toBe(200);
    expect((await encode(server, COUNT + 1, "01", -1)).status).toBe(422);
    expect((await fetch(`${server.base}/health/ready`)).status).toBe(200);
    expect(await server.stop()).toBe(0);

    expect(received[0]).toMatchObject({ ":path": "/v1/traces", "x-key": SECRET });
    expect(resources[0]).toMatch(/"service\.name".{1,30}"pursuit"/);
    const requests = spans.filter(({ kind, name }) => kind === 2 && name.startsWith("POST"));
    expect(requests).toHaveLength(COUNT + 1);
    for (let i = 0; i < COUNT; i++) {
      const { traceId, spanId } = parentOf(i);
      const request = requests.find((span) => span.traceId === traceId)!;
      expect(request).toMatchObject({ parentSpanId: spanId, name: "POST /v1/dictionaries/{id}/encode" });
      expect(attributesOf(request)).toMatchObject({
        "http.route": "/v1/dictionaries/{id}/encode",
        "http.response.status_code": 200,
      });
      const children = spans.filter((span) => span.parentSpanId === request.spanId);
      const stages = children.filter(({ name }) => name !== "batch");
      expect(stages.map(({ name }) => name).toSorted()).toEqual(["decode", "encode", "queue", "write"]);
      for (const child of children) expect([child.traceId, within(child, request)]).toEqual([traceId, true]);
      // It is in a batch of its own trace, or linked with that of another.
      const batches = spans.filter(
        ({ name, links = [] }) => name === "batch" && links.some((one) => one.spanId === request.spanId),
      );
      expect(batches).toHaveLength(1);
      if (batches[0]!.traceId !== traceId) expect(request.links).toMatchObject([contextOf(batches[0]!)]);
    }
    const batches = spans.filter(({ name }) => name === "batch");
    expect(batches.flatMap(({ links = [] }) => links)).toHaveLength(COUNT);
    expect(Math.max(...batches.map(({ links = [] }) => links.length))).toBeGreaterThanOrEqual(COUNT - 1);
    for (const batch of batches) {
      expect(attributesOf(batch)).toMatchObject({ "pursuit.dictionary": "one" });
      const [run, ...more] = spans.filter(({ parentSpanId }) => parentSpanId === batch.spanId);
      expect([run!.name, run!.traceId, more]).toEqual(["runtime", batch.traceId, []]);
      expect(within(run!, batch)).toBe(true);
    }
    // The client of the unsampled one does not record its trace.
    expect(spans.some(({ traceId }) => traceId === parentOf(COUNT).traceId)).toBe(false);
    const refused = requests.find((span) => span.traceId === parentOf(COUNT + 1).traceId)!;
    expect([attributesOf(refused)["http.response.status_code"], refused.status.code ?? 0]).toEqual([422, 0]);
    expect(server.log()).not.toContain(SECRET);
  });

  itInFull("serves as ever where no collector answers, and says so", async () => {
    const server = await startServer(models, temporaryFolder(), {
      // Nobody listens on the discard port of loopback.
      OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:9",
      OTEL_EXPORTER_OTLP_TIMEOUT: "100",
      OTEL_BSP_SCHEDULE_DELAY: "10",
    });
    running.push(server);
    expect((await encode(server, 1)).status).toBe(200);
    await until(() => server.log().includes("Traces could not be exported"));
    expect((await encode(server, 1)).status).toBe(200);
    expect(await server.stop()).toBe(0);
  });
});
