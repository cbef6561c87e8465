/**
 * Three replicas behind a real nginx get a new version of a dictionary, one after the other, under load; every answer is checked against
 * the codes of the version that it names (docs/load-balancing.md). By hand: it needs nginx.
 *
 *     npm run rolling-update -- --nginx /usr/sbin/nginx
 */
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Command } from "commander";
import { unpack } from "msgpackr";
import { random } from "../test/support/seeded.ts";
import { type RunningServer, startServer } from "../test/support/running-server.ts";
import { CODECS, writeRequest } from "./client/codecs.ts";
import { type ExpectedCodes, expectedCodes } from "./client/expected-codes.ts";
import { readAnswer } from "./client/read-answer.ts";
import { readRowPool, type RowPool } from "./client/row-pool.ts";
import { pause } from "./chaos/traffic.ts";
import { findNginx, freePort, type Nginx, startNginx } from "./fleet/nginx.ts";
import { MATCHING_PURSUIT } from "./scenario.ts";
import { STEPS_16 } from "./scenarios/peak.ts";
import { describeMachine } from "./server/machine.ts";

const MODELS = fileURLToPath(new URL("../models", import.meta.url));
const REPLICAS = 3;
const CLIENTS = 4;
/** Answers between two steps of the update. */
const BETWEEN = 150;

const options = new Command("rolling-update")
  .description("updates three replicas behind nginx under load")
  .option("--nginx <path>", "the program")
  .option("--rate <n>", "requests a second of all clients", "40")
  .parse()
  .opts<{ nginx?: string; rate: string }>();
const program = findNginx(options.nginx);
const work = mkdtempSync(join(tmpdir(), "pursuit-rolling-"));

/** A models folder of a version. The new one selects by magnitude, so that its codes differ. */
function modelsOf(version: "old" | "new"): string {
  const models = join(work, version);
  const folder = join(models, MATCHING_PURSUIT);
  mkdirSync(folder, { recursive: true });
  for (const file of ["dictionary.json", "weights.safetensors", "examples.json", "examples.safetensors"])
    cpSync(join(MODELS, MATCHING_PURSUIT, file), join(folder, file));
  if (version === "new") {
    const path = join(folder, "dictionary.json");
    writeFileSync(path, readFileSync(path, "utf8").replace('"score": "relu"', '"score": "absolute"'));
  }
  return models;
}
const MODELS_OF = { old: modelsOf("old"), new: modelsOf("new") } as const;
type Version = keyof typeof MODELS_OF;

const startReplica = (index: number, version: Version, port: number, drainMs: number): Promise<RunningServer> =>
  startServer(
    MODELS_OF[version],
    join(work, `replica-${index}`),
    { PURSUIT_ALLOWED_HOSTS: "*", PURSUIT_DRAIN_MS: String(drainMs), PURSUIT_LOG_LEVEL: "warn" },
    { flags: ["--port", String(port)] },
  );

interface Known {
  readonly version: Version;
  readonly pool: RowPool;
  readonly expected: ExpectedCodes;
}

/** Codes of each version by its sha256, from a server of its own. */
async function knownVersions(): Promise<ReadonlyMap<string, Known>> {
  const known = new Map<string, Known>();
  for (const version of ["old", "new"] as const) {
    const server = await startServer(MODELS_OF[version], join(work, "alone"), { PURSUIT_LOG_LEVEL: "warn" });
    const pool = await readRowPool(MODELS_OF[version], MATCHING_PURSUIT);
    const about = await fetch(`${server.base}/v1/dictionaries/${MATCHING_PURSUIT}`);
    const { sha256 } = (await about.json()) as { sha256: string };
    known.set(sha256, { version, pool, expected: await expectedCodes(server.base, pool, STEPS_16) });
    await server.stop();
  }
  return known;
}

/** Requests through nginx, each sent once by its client; 429 is no failure but a time to come back. */
class Clients {
  readonly tally = { old: 0, new: 0, reads: 0, writes: 0, rows: 0, deferred: 0, wrong: 0, undecided: 0, longest: 0 };
  readonly failures: string[] = [];
  readonly #running: Promise<void>[];
  #over = false;

  constructor(base: string, known: ReadonlyMap<string, Known>, writes: boolean) {
    const interval = (CLIENTS / Number(options.rate)) * 1000;
    this.#running = Array.from({ length: CLIENTS }, async (_, client) => {
      const { integer } = random(client + 1);
      for (let i = 0; !this.#over; i++) {
        const started = performance.now();
        if (i % 10 === 8) await this.#plain(base, "GET", `/v1/dictionaries/${MATCHING_PURSUIT}`);
        else if (i % 10 === 9 && writes) await this.#plain(base, "PUT", steeringPath(client), EDITS);
        else await this.#encode(base, known, integer);
        const took = performance.now() - started;
        this.tally.longest = Math.max(this.tally.longest, took);
        await pause(Math.max(0, interval - took));
      }
    });
  }

  async stop(): Promise<void> {
    this.#over = true;
    await Promise.all(this.#running);
  }

  /** Resolves after so many further answers. */
  async answers(count: number): Promise<void> {
    const total = (): number => this.tally.old + this.tally.new + this.failures.length;
    const until = total() + count;
    while (total() < until) await pause(20);
  }

  async #plain(base: string, method: "GET" | "PUT", path: string, body?: string): Promise<void> {
    const init = { method, ...(body !== undefined && { body, headers: { "content-type": "application/json" } }) };
    if ((await this.#ask(`${base}${path}`, init)) === null) return;
    if (method === "GET") this.tally.reads++;
    else this.tally.writes++;
  }

  async #encode(base: string, known: ReadonlyMap<string, Known>, integer: (n: number) => number): Promise<void> {
    const [{ pool }] = [...known.values()] as [Known];
    const from = integer(pool.count);
    const rows = Array.from({ length: 1 + integer(32) }, (_, k) => (from + k) % pool.count);
    const codec = CODECS[integer(CODECS.length)]!;
    const { path, headers, body } = writeRequest(pool, rows, codec, { budget: STEPS_16 });
    const answer = await this.#ask(base + path, { method: "POST", headers, body });
    if (answer === null) return;
    const { contentType, bytes } = answer;
    const { sha256 } = (contentType.startsWith("application/json") ? JSON.parse(bytes.toString()) : unpack(bytes)) as {
      sha256: string;
    };
    const { version, expected } = known.get(sha256)!;
    this.tally[version]++;
    this.tally.rows += rows.length;
    const codes = readAnswer({ contentType, body: bytes });
    for (const [k, row] of rows.entries()) {
      const verdict = codes[k] === undefined ? "wrong" : expected.judge(row, codes[k]);
      if (verdict !== "same") this.tally[verdict]++;
    }
  }

  async #ask(url: string, init: RequestInit): Promise<{ contentType: string; bytes: Buffer } | null> {
    try {
      const answer = await fetch(url, init);
      const bytes = Buffer.from(await answer.arrayBuffer());
      if (answer.status === 429) {
        this.tally.deferred++;
        await pause(Number(answer.headers.get("retry-after-ms")));
        return await this.#ask(url, init);
      }
      if (answer.ok) return { contentType: answer.headers.get("content-type")!, bytes };
      this.failures.push(`${init.method} ${answer.status} ${bytes.toString("utf8").slice(0, 120)}`);
    } catch (error) {
      this.failures.push(`${init.method} ${String((error as Error).cause ?? error)}`);
    }
    return null;
  }
}

const EDITS = JSON.stringify({ edits: [{ feature: 1, op: "remove" }] });
const steeringPath = (client: number): string => `/v1/dictionaries/${MATCHING_PURSUIT}/steering/client-${client}`;

/** @param follow whether nginx is told which replicas are ready, as Kubernetes' endpoints do; else it notices by itself */
async function update(known: ReadonlyMap<string, Known>, follow: boolean): Promise<readonly string[]> {
  const lines: string[] = [];
  const drainMs = follow ? 2000 : 500;
  const replicas: { server: RunningServer; readonly port: number }[] = [];
  for (let i = 0; i < REPLICAS; i++) {
    const port = await freePort();
    replicas.push({ server: await startReplica(i, "old", port, drainMs), port });
  }
  const ports = replicas.map(({ port }) => port);
  await Promise.all(ports.map((port) => readyIs(port, 200)));
  const nginx: Nginx = await startNginx(program, "pursuit.conf", ports, follow);
  const clients = new Clients(nginx.base, known, follow);
  const began = performance.now();
  const say = (text: string): number =>
    lines.push(`${((performance.now() - began) / 1000).toFixed(1).padStart(5)} s  ${text}`);
  await clients.answers(BETWEEN);
  for (const [i, replica] of replicas.entries()) {
    replica.server.process.kill("SIGTERM");
    await readyIs(replica.port, 503);
    say(
      `replica ${i + 1}: SIGTERM; /health/ready is 503, ${(await stillAnswers(replica.port)) ? "requests are still answered" : "closed"}`,
    );
    if (follow) nginx.replicas(ports.filter((port) => port !== replica.port));
    const code = await replica.server.exited;
    say(`replica ${i + 1}: ended with ${code}`);
    await clients.answers(BETWEEN / 3);
    replica.server = await startReplica(i, "new", replica.port, drainMs);
    await readyIs(replica.port, 200);
    if (follow) nginx.replicas(ports);
    say(`replica ${i + 1}: ready with the new version`);
    await clients.answers(BETWEEN);
  }
  await clients.stop();
  await nginx.end();
  await Promise.all(replicas.map(({ server }) => server.stop()));
  const { tally, failures } = clients;
  if (tally.wrong > 0 || failures.length > 0 || tally.old === 0 || tally.new === 0) process.exitCode = 1;
  say(
    `answered: ${tally.old} by the old version, ${tally.new} by the new one (${tally.rows} rows), ${tally.reads} reads, ` +
      `${tally.writes} writes, ${tally.deferred} told to come back; failed ${failures.length}, wrong ${tally.wrong}, undecided ${tally.undecided}; longest ${Math.round(tally.longest)} ms`,
  );
  return [...lines, ...failures.slice(0, 5)];
}

/** Resolves when a replica's readiness has this status. */
async function readyIs(port: number, status: number): Promise<void> {
  for (;;) {
    const answer = await fetch(`http://127.0.0.1:${port}/health/ready`).catch(() => null);
    await answer?.arrayBuffer();
    if (answer?.status === status || (answer === null && status === 503)) return;
    await pause(20);
  }
}

async function stillAnswers(port: number): Promise<boolean> {
  const answer = await fetch(`http://127.0.0.1:${port}/v1/dictionaries`).catch(() => null);
  await answer?.arrayBuffer();
  return answer?.status === 200;
}

const known = await knownVersions();
const { date, node, commit, cores, load } = describeMachine();
const version = execFileSync("sh", ["-c", `"${program}" -v 2>&1`], { encoding: "utf8" }).trim();
console.log(
  `${date} UTC; ${version}; Node ${node}; commit ${commit}; ${cores} cores, load average ${load.toFixed(1)}.`,
);
for (const follow of [false, true]) {
  console.log(
    `\n${follow ? "nginx is told which replicas are ready (PURSUIT_DRAIN_MS=2000), and clients write steering sets, too" : "nginx notices by itself (PURSUIT_DRAIN_MS=500)"}:\n\n\`\`\``,
  );
  for (const line of await update(known, follow)) console.log(line);
  console.log("```");
}
rmSync(work, { recursive: true, force: true });
