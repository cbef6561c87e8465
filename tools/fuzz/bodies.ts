/**
 * Sends damaged and hostile bodies of every media type to every route of a built server, and checks that each answer is one
 * that the API documents, that honest requests in between get the right codes, and that memory stays bounded.
 *
 *     npx tsx tools/fuzz/bodies.ts [--count 100000 | --seconds 30] [--seed 1] [--only 1234]
 *
 * `--only` sends one case again and prints its answer. Linux: memory is read from /proc.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { Agent, type IncomingMessage, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { writeModelFolder } from "../../test/support/model-folder.ts";
import { type RunningServer, startServer } from "../../test/support/running-server.ts";
import { normals, randomAtoms } from "../../test/support/seeded.ts";
import { type Case, caseOf } from "./body-cases.ts";
import type { Target } from "./body-drafts.ts";
import { most, only, secondsToRun, seed } from "./options.ts";

/** Requests at once, and cases between two honest requests. */
const AT_ONCE = 6;
const HONEST_EVERY = 50;

/** MiB that the server may hold at its peak: some 150 at rest, and what its limits below allow. */
const MOST_MIB = 700;

/** Milliseconds after which an answer is missing. */
const PATIENCE = 60_000;

const LIMITS = { PURSUIT_MAX_BODY: 4 << 20, PURSUIT_MAX_ROWS: 512, PURSUIT_MAX_UNPACKED: 64 << 20 };
const TARGETS: readonly Target[] = [
  { id: "plain", d: 8, m: 32 },
  { id: "normed", d: 8, m: 32 },
  { id: "wide", d: 20, m: 32 },
];

interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly body: Buffer;
}

const agent = new Agent({ keepAlive: true, maxSockets: AT_ONCE + 1 });

function send(
  { port }: RunningServer,
  { method, path, headers, body }: Pick<Case, "method" | "path" | "headers" | "body">,
) {
  return new Promise<Answer>((resolve, reject) => {
    const sent = request(
      {
        port,
        host: "127.0.0.1",
        agent,
        method,
        path,
        headers: { ...headers, host: "x", "content-length": body.length },
      },
      (answer) => {
        const parts: Buffer[] = [];
        answer.on("data", (part: Buffer) => parts.push(part));
        answer.on("error", reject);
        answer.on("end", () =>
          resolve({ status: answer.statusCode!, headers: answer.headers, body: Buffer.concat(parts) }),
        );
      },
    );
    sent.setTimeout(PATIENCE, () => sent.destroy(new Error(`no answer in ${PATIENCE} ms`)));
    sent.on("error", reject);
    sent.end(body);
  });
}

/** What is wrong with an answer; null: nothing. */
function faultOf({ v2, statuses, method }: Case, { status, headers, body }: Answer): string | null {
  if (!statuses.has(status)) return `status ${status}`;
  const type = headers["content-type"] ?? "";
  if (status < 400) return type === "" && body.length > 0 ? "no content type" : null;
  if (method === "HEAD") return null;
  const wanted = v2 ? "application/json" : "application/problem+json";
  if (type !== wanted) return `content type ${type} of a refusal`;
  const said = JSON.parse(body.toString()) as Record<string, unknown>;
  if (v2) return Object.keys(said).join() === "error" && typeof said["error"] === "string" ? null : "no {error}";
  if (said["status"] !== status || !/^PURSUIT_[A-Z_]+$/.test(String(said["code"]))) return "no problem";
  return body.length > 4000 ? "a refusal of over 4,000 bytes" : null;
}

const HONEST = { inputs: [[...normals(8, 5)]], budget: { max_atoms: 4 }, format: "csr" };
const HONEST_CASE = {
  method: "POST",
  path: "/v1/dictionaries/plain/encode",
  headers: { "content-type": "application/json" },
  body: Buffer.from(JSON.stringify(HONEST)),
};

const peakMiB = (pid: number): number =>
  Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1]) / 1024;

const folder = mkdtempSync(join(tmpdir(), "pursuit-fuzz-"));
const models = join(folder, "models");
for (const { id, d, m } of TARGETS) {
  const settings = id === "normed" ? { inputNorm: "layer_norm" as const } : {};
  const made = writeModelFolder(models, id, { atoms: randomAtoms(m, d, 1), d, center: normals(d, 2), settings });
  writeFileSync(join(made, "labels.json"), JSON.stringify([{ index: 1, text: "bird: flies" }]));
}
const server = await startServer(models, join(folder, "cache"), {
  PURSUIT_LOG_LEVEL: "error",
  ...Object.fromEntries(Object.entries(LIMITS).map(([name, value]) => [name, String(value)])),
});

const faults: string[] = [];
const report = (what: string): void => {
  faults.push(what);
  console.error(what);
};

const statuses = new Map<number, number>();
let honest = 0;
let expected: string | null = null;

async function askHonestly(): Promise<void> {
  const { status, body } = await send(server, HONEST_CASE);
  honest++;
  expected ??= body.toString();
  if (status !== 200 || body.toString() !== expected) report(`an honest request got ${status} ${body.toString()}`);
}

let next = 0;
async function run(): Promise<void> {
  while (next < most && performance.now() < until && faults.length < 20) {
    const index = next++;
    const one = caseOf(seed, index, TARGETS);
    const name = `--seed ${seed} --only ${index}: ${one.method} ${one.path.slice(0, 120)} (${one.body.length} bytes)`;
    try {
      const answer = await send(server, one);
      statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1);
      const fault = faultOf(one, answer);
      if (fault !== null) report(`${name}: ${fault}: ${answer.body.toString().slice(0, 300)}`);
    } catch (error) {
      report(`${name}: ${String(error)}`);
    }
    if (index % HONEST_EVERY === 0) await askHonestly();
    if (index > 0 && index % 10_000 === 0)
      console.log(`${index} sent, peak ${Math.round(peakMiB(server.process.pid!))} MiB`);
  }
}

const started = performance.now();
const until = started + secondsToRun * 1000;
await askHonestly();
if (only === undefined) {
  await Promise.all(Array.from({ length: AT_ONCE }, run));
} else {
  const one = caseOf(seed, only, TARGETS);
  console.log(one, one.body.toString("latin1").slice(0, 500));
  const answer = await send(server, one);
  console.log(answer.status, answer.headers, answer.body.toString().slice(0, 1000), faultOf(one, answer));
}
const peak = peakMiB(server.process.pid!);
if (peak > MOST_MIB) report(`the server held ${Math.round(peak)} MiB at its peak; at most ${MOST_MIB} are bounded`);
await askHonestly();
if (server.process.exitCode !== null) report("the server has ended");
agent.destroy();
if ((await server.stop()) !== 0) report("the server did not end in order");
for (const line of server
  .log()
  .split("\n")
  .filter((text) => /"level":[56]0/.test(text)))
  report(`logged: ${line.slice(0, 600)}`);
rmSync(folder, { recursive: true, force: true });

const seconds = (performance.now() - started) / 1000;
const counts = [...statuses].toSorted(([a], [b]) => a - b).map(([status, count]) => `${status}: ${count}`);
console.log(
  `${next} bodies (seed ${seed}) in ${seconds.toFixed(0)} s: ${counts.join(", ")}. ${honest} honest requests beside them, peak ${Math.round(peak)} MiB, ${faults.length} faults.`,
);
process.exitCode = faults.length === 0 ? 0 : 1;
