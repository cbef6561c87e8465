/**
 * From `pursuit serve` to its first ready answer, and the memory it then holds (Linux). Needs a build.
 *
 *     npm run build && npx tsx tools/bench/startup.ts
 */
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { table } from "./timing.ts";

const RUNS = 5;
const cli = fileURLToPath(new URL("../../dist/cli/pursuit.js", import.meta.url));

function residentMiB(pid: number): number {
  const [, kib] = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))!;
  return Number(kib) / 1024;
}

async function once(): Promise<{ seconds: number; server: number; runtimes: string[] }> {
  const started = performance.now();
  const child = spawn(process.execPath, [cli, "serve", "--port", "0"], { stdio: ["ignore", "pipe", "ignore"] });
  for await (const line of createInterface({ input: child.stdout })) {
    if (!line.startsWith("Pursuit serves")) continue;
    const base = /at (http:\S+)/.exec(line)![1]!;
    const { status } = await fetch(`${base}/health/ready`);
    if (status !== 200) throw new Error(`/health/ready answers ${status}`);
    const seconds = (performance.now() - started) / 1000;
    const children = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, "utf8").trim().split(" ");
    const figures = {
      seconds,
      server: residentMiB(child.pid!),
      runtimes: children.map((pid) => residentMiB(Number(pid)).toFixed(0)),
    };
    child.kill("SIGTERM");
    await new Promise((resolve) => child.once("exit", resolve));
    return figures;
  }
  throw new Error("the server ended before it was ready");
}

const lines: (string | number)[][] = [["run", "seconds to ready", "server MiB", "runtime processes MiB"]];
for (let run = 1; run <= RUNS; run++) {
  const { seconds, server, runtimes } = await once();
  lines.push([String(run), seconds, server, runtimes.join(" + ")]);
}
console.log(table(lines));
