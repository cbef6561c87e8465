/**
 * From `pursuit serve` over many small dictionaries to the first that answers, to the last, and the longest time without a
 * line of output. Needs a build; another built checkout may be given to compare with.
 *
 *     npm run build && npx tsx tools/bench/startup-many.ts [count] [checkout]
 */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { writeModelFolder } from "../../test/support/model-folder.ts";
import { randomAtoms } from "../../test/support/seeded.ts";
import { table } from "./timing.ts";

const RUNS = 3;
const [D, M] = [16, 32];
const [count = "23", checkout = fileURLToPath(new URL("../..", import.meta.url))] = process.argv.slice(2);

interface Started {
  /** Until a line named the address. */
  readonly listens: number;
  /** Until the first dictionary had encoded a row, and until the last one had. */
  readonly first: number;
  readonly last: number;
  /** Longest time without a line before that. */
  readonly silence: number;
}

async function once(models: string, scratch: string): Promise<Started> {
  const began = performance.now();
  const seconds = (): number => (performance.now() - began) / 1000;
  const folders = [
    "--models-dir",
    models,
    "--cache-dir",
    join(scratch, "cache"),
    "--state-dir",
    join(scratch, "state"),
  ];
  const serve = [join(checkout, "dist/cli/pursuit.js"), "serve", "--port", "0", ...folders];
  const child = spawn(process.execPath, serve, { stdio: ["ignore", "pipe", "pipe"] });
  const said: number[] = [0];
  let text = "";
  for (const output of [child.stdout, child.stderr]) {
    output.setEncoding("utf8").on("data", (chunk: string) => {
      text += chunk;
      said.push(seconds());
    });
  }
  const until = async (holds: () => boolean | Promise<boolean>): Promise<number> => {
    while (!(await holds())) {
      if (child.exitCode !== null) throw new Error(`the server ended: ${text}`);
      await sleep(10);
    }
    return seconds();
  };
  let base: string | undefined;
  const listens = await until(() => (base = /Listening at (http:[^\s;,]+)/.exec(text)?.[1]) !== undefined);
  const ready = async (): Promise<number> => {
    const { dictionaries } = (await (await fetch(`${base}/v1/dictionaries`)).json()) as {
      dictionaries: readonly { state: string }[];
    };
    return dictionaries.filter(({ state }) => state === "ready").length;
  };
  const first = await until(async () => (await ready()) > 0);
  const last = await until(async () => (await ready()) === Number(count));
  const times = [...said.filter((at) => at <= last), last];
  const silence = Math.max(...times.map((at, i) => at - (times[i - 1] ?? 0)));
  child.kill("SIGTERM");
  await new Promise((resolve) => child.once("exit", resolve));
  return { listens, first, last, silence };
}

const scratch = mkdtempSync(join(tmpdir(), "pursuit-many-"));
try {
  const models = join(scratch, "models");
  for (let i = 0; i < Number(count); i++) {
    writeModelFolder(models, `small-${String(i).padStart(3, "0")}`, { atoms: randomAtoms(M, D, i), d: D });
  }
  const lines: (string | number)[][] = [["run", "listens", "first answers", "all answer", "longest silence"]];
  for (let run = 1; run <= RUNS; run++) {
    const { listens, first, last, silence } = await once(models, scratch);
    lines.push([run, listens, first, last, silence]);
  }
  console.log(`${count} dictionaries of ${M} atoms, seconds`);
  console.log(table(lines));
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
