/**
 * From `pursuit serve` to its first ready answer, and the memory it then holds (Linux): the shipped dictionaries, and one of
 * 2304 × 16384 made from a seed, whose Gram matrix comes behind the first requests. Needs a build.
 *
 *     npm run build && npx tsx tools/bench/startup.ts
 */
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createInterface } from "node:readline";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { writeModelFolder } from "../../test/support/model-folder.ts";
import { residentMiB } from "../../test/support/process-figures.ts";
import { randomAtoms } from "../../test/support/seeded.ts";
import { table } from "./timing.ts";

const RUNS = 5;
const cli = fileURLToPath(new URL("../../dist/cli/pursuit.js", import.meta.url));

const [D, M] = [2304, 16_384];

/** MiB that its weights and Gram matrix take. */
const NEEDED = (4 * M * (D + M)) / 2 ** 20;

interface Started {
  readonly seconds: number;
  /** Until the Gram matrix stood; the same where it stands from the start. */
  readonly fused: number;
  readonly server: number;
  readonly runtimes: number[];
}

async function once(args: readonly string[] = []): Promise<Started> {
  const started = performance.now();
  const child = spawn(process.execPath, [cli, "serve", "--port", "0", ...args], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  for await (const line of createInterface({ input: child.stdout })) {
    if (!line.startsWith("Pursuit serves")) continue;
    const base = /at (http:\S+)/.exec(line)![1]!;
    const { status } = await fetch(`${base}/health/ready`);
    if (status !== 200) throw new Error(`/health/ready answers ${status}`);
    const seconds = (performance.now() - started) / 1000;
    for (;;) {
      const { dictionaries } = (await (await fetch(`${base}/v1/dictionaries`)).json()) as {
        dictionaries: readonly { path?: string }[];
      };
      if (!dictionaries.some(({ path }) => path === "fused_residual")) break;
      await sleep(50);
    }
    const fused = (performance.now() - started) / 1000;
    const children = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, "utf8").trim().split(" ");
    const figures = {
      seconds,
      fused,
      server: residentMiB(child.pid!),
      runtimes: children.map((pid) => residentMiB(Number(pid))),
    };
    child.kill("SIGTERM");
    await new Promise((resolve) => child.once("exit", resolve));
    return figures;
  }
  throw new Error("the server ended before it was ready");
}

const lines: (string | number)[][] = [
  ["what", "seconds to ready", "to the matrix", "server MiB", "runtime processes MiB"],
];
const add = (what: string, { seconds, fused, server, runtimes }: Started): void =>
  void lines.push([what, seconds, fused, server, runtimes.map((one) => one.toFixed(0)).join(" + ")]);
for (let run = 1; run <= RUNS; run++) add(`shipped, ${run}`, await once());
const scratch = mkdtempSync(join(tmpdir(), "pursuit-startup-"));
try {
  writeModelFolder(join(scratch, "models"), "large", { d: D, atoms: randomAtoms(M, D, 1) });
  const folders = ["--models-dir", join(scratch, "models"), "--cache-dir", join(scratch, "cache")];
  const seen = await once(folders);
  add("large", seen);
  const beyond = seen.server + seen.runtimes.reduce((sum, one) => sum + one, 0) - NEEDED;
  console.log(`large: ${beyond.toFixed(0)} MiB beyond weights and matrix (${NEEDED.toFixed(0)} MiB)`);
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
console.log(table(lines));
