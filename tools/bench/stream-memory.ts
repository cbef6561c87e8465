/**
 * A stream of lines through one server process, and how much more memory than at rest it takes (Linux). Needs a build.
 *
 *     npm run build && npx tsx tools/bench/stream-memory.ts [rows = 1000000] [atoms = 8]
 *
 * Rows of the shipped dictionary, read while they are sent; a second run sends everything before it reads anything.
 */
import { spawn } from "node:child_process";
import { request } from "node:http";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { residentMiB } from "../../test/support/process-figures.ts";
import { normals } from "../../test/support/seeded.ts";
import { table } from "./timing.ts";

const [rows = 1_000_000, atoms = 8] = process.argv.slice(2).map(Number);
const DICTIONARY = "minilm-wordnet-mp";
const D = 384;
/** Rows sent by the client that reads nothing until it has sent all: their answers must fit PURSUIT_STREAM_BUFFER. */
const SENT_FIRST = 50_000;
const cli = fileURLToPath(new URL("../../dist/cli/pursuit.js", import.meta.url));

async function start(): Promise<{ base: string; pid: number; stop: () => void }> {
  const child = spawn(process.execPath, [cli, "serve", "--port", "0"], { stdio: ["ignore", "pipe", "ignore"] });
  for await (const line of createInterface({ input: child.stdout })) {
    const base = /^Pursuit serves .* at (http:\S+)/.exec(line)?.[1];
    if (base === undefined) continue;
    child.stdout.resume();
    return { base, pid: child.pid!, stop: () => child.kill("SIGTERM") };
  }
  throw new Error("the server ended before it was ready");
}

/** Numbers as an embedding prints, and several of them in one piece. */
const LINES = Buffer.from(
  Array.from({ length: 64 }, (_, i) =>
    JSON.stringify(Array.from(normals(D, i + 1), (value) => Number((value / 20).toFixed(7)))),
  ).join("\n") + "\n",
);

interface Run {
  readonly answered: number;
  readonly seconds: number;
  readonly more: number;
}

async function stream(base: string, pid: number, count: number, sendFirst: boolean): Promise<Run> {
  const rest = residentMiB(pid);
  let peak = rest;
  const sampler = setInterval(() => (peak = Math.max(peak, residentMiB(pid))), 100);
  const started = performance.now();
  const call = request(`${base}/v1/dictionaries/${DICTIONARY}/encode?max_atoms=${atoms}`, {
    method: "POST",
    headers: { "content-type": "application/x-ndjson" },
  });
  let answered = 0;
  const read = new Promise<void>((resolve, reject) => {
    call.once("error", reject);
    call.once("response", (answer) => {
      if (answer.statusCode !== 200) reject(new Error(`answered ${answer.statusCode}`));
      const take = (): void => {
        answer.on("data", (chunk: Buffer) => {
          for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, at + 1)) answered++;
        });
        answer.once("end", resolve).once("error", reject);
      };
      if (sendFirst) call.once("finish", take);
      else take();
    });
  });
  for (let sent = 0; sent < count; sent += 64) {
    if (!call.write(LINES)) await new Promise((resolve) => call.once("drain", resolve));
  }
  call.end();
  await read;
  clearInterval(sampler);
  return { answered, seconds: (performance.now() - started) / 1000, more: peak - rest };
}

const server = await start();
await stream(server.base, server.pid, 2048, false);
const lines: (string | number)[][] = [["client", "rows", "seconds", "rows/s", "MiB more at most"]];
for (const [client, count] of [
  ["reads while it sends", rows],
  ["sends all, then reads", Math.min(rows, SENT_FIRST)],
] as const) {
  const { answered, seconds, more } = await stream(server.base, server.pid, count, client.startsWith("sends"));
  lines.push([client, String(answered), seconds, answered / seconds, more]);
}
console.log(`${DICTIONARY}, ${atoms} atoms a row\n${table(lines)}`);
server.stop();
