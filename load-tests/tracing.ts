/**
 * The cost of tracing, and a trace drawn (docs/operations.md). Three built servers take requests in turn: tracing off, of one request in a
 * hundred, of every request. Spans go to an OTLP receiver in this process.
 *
 *     npm run tracing
 */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { Command } from "commander";
import { writeRequest } from "./client/codecs.ts";
import { percentile } from "./client/percentile.ts";
import { readRowPool } from "./client/row-pool.ts";
import { MATCHING_PURSUIT } from "./scenario.ts";
import { STEPS_16 } from "./scenarios/peak.ts";
import { startLoaded } from "./server/loaded-server.ts";
import { describeMachine } from "./server/machine.ts";

const MODELS = fileURLToPath(new URL("../models", import.meta.url));
const ROWS = 32;
/** Requests to a server before the next one has its turn. */
const TURN = 50;

const { rounds } = new Command("tracing")
  .option("--rounds <n>", `turns of ${TURN} requests to each server`, "20")
  .parse()
  .opts<{ rounds: string }>();

/** As OTLP has it in JSON; times are nanoseconds since 1970. */
interface Exported {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly links?: readonly { readonly traceId: string; readonly spanId: string }[];
}

/** Bodies as they came: to parse them would take time from the clients. */
const received: Buffer[] = [];
const collector = createServer((request, response) => {
  const parts: Buffer[] = [];
  request.on("data", (part: Buffer) => parts.push(part));
  request.on("end", () => {
    received.push(Buffer.concat(parts));
    response.setHeader("content-type", "application/json");
    response.end("{}");
  });
});
await once(collector.listen(0, "127.0.0.1"), "listening");
const endpoint = { OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${(collector.address() as AddressInfo).port}` };
const sampled = { OTEL_TRACES_SAMPLER: "parentbased_traceidratio", OTEL_TRACES_SAMPLER_ARG: "0.01" };
const MODES = [
  ["off", {}],
  ["1 %", { ...endpoint, ...sampled }],
  ["100 %", endpoint],
] as const;

const pool = await readRowPool(MODELS, MATCHING_PURSUIT);
const from = (at: number): readonly number[] => Array.from({ length: ROWS }, (_, k) => (at + k) % pool.count);
const servers = await Promise.all(
  MODES.map(async ([name, env]) => ({ name, server: await startLoaded(MODELS, env), times: [] as number[], cpu: 0 })),
);
type Measured = (typeof servers)[number];

async function encode({ server }: Measured, at: number, headers = {}): Promise<number> {
  const written = writeRequest(pool, from(at), "octets", { budget: STEPS_16 });
  const started = performance.now();
  const answer = await fetch(server.base + written.path, {
    method: "POST",
    headers: { ...written.headers, ...headers },
    body: written.body,
  });
  await answer.arrayBuffer();
  if (answer.status !== 200) throw new Error(`${written.path} answers ${answer.status}`);
  return performance.now() - started;
}

async function turn(measured: Measured, round: number): Promise<void> {
  const before = await measured.server.usage();
  for (let i = 0; i < TURN; i++) measured.times.push(await encode(measured, round * TURN + i));
  measured.cpu += (await measured.server.usage()).serverCpuSeconds - before.serverCpuSeconds;
}

/** In another order each time, so that none is always after the same one. */
async function measure(count: number): Promise<void> {
  for (let round = 0; round < count; round++) {
    for (let i = 0; i < servers.length; i++) await turn(servers[(i + round) % servers.length]!, round);
  }
}

// The first seconds are the compiler's.
await measure(6);
for (const one of servers) {
  one.times.length = 0;
  one.cpu = 0;
}
await measure(Number(rounds));
// Requests of many clients at once, of which some share a batch.
const all = servers.at(-1)!;
const TOGETHER = Array.from({ length: 12 }, (_, i) => i);
const idOf = (i: number): string => (i + 1).toString(16).repeat(32);
const parent = "00f067aa0ba902b7";
await Promise.all(TOGETHER.map((i) => encode(all, i * ROWS, { traceparent: `00-${idOf(i)}-${parent}-01` })));
for (const { server } of servers) await server.stop();
collector.close();

const { date, node, commit, cpu, cores, load } = describeMachine();
console.log(
  `${date} UTC; ${cpu}, ${cores} cores, load average ${load.toFixed(1)}; Node ${node}; commit ${commit}; ${Number(rounds) * TURN} requests of ${ROWS} rows each, one client, octet-stream → msgpack.\n`,
);
console.log(
  "| tracing | p50, ms | over off | CPU of the server process, µs a row | over off |\n| --- | --- | --- | --- | --- |",
);
const [off] = servers as [Measured];
const p50 = ({ times }: Measured): number => percentile(times, 0.5);
for (const one of servers) {
  const row = (1e6 * one.cpu) / (one.times.length * ROWS);
  const line = [
    one.name,
    p50(one).toFixed(2),
    (p50(one) / p50(off)).toFixed(2),
    row.toFixed(1),
    (one.cpu / off.cpu).toFixed(2),
  ];
  console.log(`| ${line.join(" | ")} |`);
}
const spans = received.flatMap((body) => {
  const { resourceSpans } = JSON.parse(body.toString()) as {
    resourceSpans: readonly { scopeSpans: readonly { spans: readonly Exported[] }[] }[];
  };
  return resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap((scope) => scope.spans));
});
console.log(`\n${spans.length} spans came.\n\n\`\`\``);
for (const line of drawn()) console.log(line);
console.log("```");

/** The trace of them with the fullest batch: each span as a bar below its parent. */
function drawn(): readonly string[] {
  const ids = new Set(TOGETHER.map(idOf));
  const batches = spans.filter(({ name, traceId }) => name === "batch" && ids.has(traceId));
  const fullest = batches.toSorted((a, b) => (b.links?.length ?? 0) - (a.links?.length ?? 0))[0]!;
  const trace = spans.filter(({ traceId }) => traceId === fullest.traceId);
  const root = trace.find(({ parentSpanId }) => parentSpanId === parent)!;
  const ms = (time: string): number => Number(BigInt(time) - BigInt(root.startTimeUnixNano)) / 1e6;
  const width = 48 / ms(root.endTimeUnixNano);
  const lines = [`trace ${root.traceId.slice(0, 8)}…, below the client's span ${parent}`];
  const draw = (span: Exported, depth: number): void => {
    const [start, end] = [ms(span.startTimeUnixNano), ms(span.endTimeUnixNano)];
    const bar = " ".repeat(Math.round(start * width)) + "█".repeat(Math.max(1, Math.round((end - start) * width)));
    const links = span.links?.filter(({ traceId }) => traceId !== span.traceId) ?? [];
    const linked = links.length === 0 ? "" : `  ⇄ ${links.map(({ traceId }) => `${traceId.slice(0, 8)}…`).join(", ")}`;
    lines.push(
      `${(" ".repeat(2 * depth) + span.name).padEnd(36)}${(end - start).toFixed(2).padStart(7)} ms  ${bar}${linked}`,
    );
    const children = trace.filter(({ parentSpanId }) => parentSpanId === span.spanId);
    for (const child of children.toSorted((a, b) => ms(a.startTimeUnixNano) - ms(b.startTimeUnixNano)))
      draw(child, depth + 1);
  };
  draw(root, 0);
  return lines;
}
