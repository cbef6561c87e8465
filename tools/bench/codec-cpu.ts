/**
 * CPU time of the server process for each row, by codec: 32 rows a request, 16 steps, shipped dictionary. The runtime
 * process, which encodes, is not in it; the sockets and the frames to it are. Linux. Needs a build.
 *
 *     npm run build && npx tsx tools/bench/codec-cpu.ts
 */
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { Agent, request } from "node:http";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { pack } from "msgpackr";
import { normals } from "../../test/support/seeded.ts";
import { shortestFloats } from "../../src/codecs/shortest-float32.ts";
import { table } from "./timing.ts";

const ROWS = 32;
const D = 384;
const REQUESTS = 400;
const TICKS_A_SECOND = 100;
const cli = fileURLToPath(new URL("../../dist/cli/pursuit.js", import.meta.url));
const agent = new Agent({ keepAlive: true, maxSockets: 1 });

const data = normals(ROWS * D, 1);
const bytes = Buffer.from(data.buffer);
const lists = Array.from({ length: ROWS }, (_, i) => shortestFloats(data.subarray(i * D, (i + 1) * D)));
const budget = { max_atoms: 16 };
const shape = [ROWS, D];
const QUERY = `?dtype=float32&rows=${ROWS}&max_atoms=16`;

const BODIES = {
  "octet-stream": { type: "application/octet-stream", query: QUERY, body: bytes },
  msgpack: {
    type: "application/msgpack",
    query: "",
    body: pack({ inputs: { data: bytes, dtype: "float32", shape }, budget }),
  },
  JSON: { type: "application/json", query: "", body: Buffer.from(JSON.stringify({ inputs: lists, budget })) },
} as const;

function cpuMicroseconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ");
  return ((Number(fields[11]) + Number(fields[12])) / TICKS_A_SECOND) * 1e6;
}

function post(base: string, { type, query, body }: (typeof BODIES)[keyof typeof BODIES], accept: string) {
  return new Promise<void>((resolve, reject) => {
    const headers = { "content-type": type, accept, "content-length": body.length };
    const url = `${base}/v1/dictionaries/minilm-wordnet-mp/encode${query}`;
    const call = request(url, { method: "POST", agent, headers }, (answer) => {
      if (answer.statusCode !== 200) reject(new Error(`answered ${answer.statusCode}`));
      answer.resume().once("end", resolve);
    });
    call.once("error", reject).end(body);
  });
}

const child = spawn(process.execPath, [cli, "serve", "--port", "0"], { stdio: ["ignore", "pipe", "ignore"] });
let base: string | undefined;
for await (const line of createInterface({ input: child.stdout })) {
  base = /^Pursuit serves .* at (http:\S+)/.exec(line)?.[1];
  if (base !== undefined) break;
}
if (base === undefined) throw new Error("the server ended before it was ready");
child.stdout.resume();
const lines: (string | number)[][] = [["body", "answer", "µs of CPU a row"]];
for (const [name, sent] of Object.entries(BODIES)) {
  for (const accept of ["application/msgpack", "application/vnd.safetensors", "application/json"]) {
    for (let i = 0; i < 100; i++) await post(base, sent, accept);
    const before = cpuMicroseconds(child.pid!);
    for (let i = 0; i < REQUESTS; i++) await post(base, sent, accept);
    lines.push([name, accept.slice(12), (cpuMicroseconds(child.pid!) - before) / (REQUESTS * ROWS)]);
  }
}
console.log(table(lines));
agent.destroy();
child.kill("SIGTERM");
