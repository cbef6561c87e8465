/**
 * `pursuit stats` over 200,000 rows of width 384 by the shipped dictionary of 4,096 atoms, without the map:
 *
 *     npm run build && npx tsx tools/bench/stats.ts [--rows 200000]
 *
 * Prints the time and the largest memory of the command's own process, for the rows and for a quarter of them: memory
 * should not grow with rows. Rows are the dictionary's examples with noise, so that a code has 16 atoms.
 */
import { spawn } from "node:child_process";
import { cp, mkdtemp, open, readFile, rm } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { readExamples } from "../../src/engine/dictionaries/examples.ts";
import { random } from "../../test/support/seeded.ts";

const ID = "minilm-wordnet-mp";
const D = 384;
const AT_ONCE = 1000;

const root = fileURLToPath(new URL("../..", import.meta.url));
const { values } = parseArgs({ options: { rows: { type: "string", default: "200000" } } });
const most = Number(values.rows);

const folder = await mkdtemp(join(tmpdir(), "pursuit-stats-"));
try {
  await cp(join(root, "models", ID), join(folder, "models", ID), { recursive: true });
  for (const count of [most / 4, most]) {
    const rows = join(folder, `${count}.npy`);
    await writeRows(rows, count);
    const { seconds, megabytes } = await timed([
      "stats",
      ID,
      "--models-dir",
      join(folder, "models"),
      "--rows",
      rows,
      "--no-map",
    ]);
    console.log(
      `${count} rows × ${D}, 4,096 atoms, ${availableParallelism()} cores: ${seconds.toFixed(1)} s with the start, ` +
        `${Math.round(count / seconds)} rows/s, ${megabytes} MB at most`,
    );
    await rm(rows);
  }
} finally {
  await rm(folder, { recursive: true });
}

async function writeRows(path: string, count: number): Promise<void> {
  const { rows: examples } = (await readExamples(join(root, "models", ID), D))!;
  const { normal } = random(1);
  const file = await open(path, "w");
  const head = `{'descr': '<f4', 'fortran_order': False, 'shape': (${count}, ${D}), }`.padEnd(117);
  await file.write(
    Buffer.concat([Buffer.from([0x93]), Buffer.from("NUMPY\x01\x00\x76\x00", "latin1"), Buffer.from(`${head}\n`)]),
  );
  for (let from = 0; from < count; from += AT_ONCE) {
    const piece = new Float32Array(Math.min(AT_ONCE, count - from) * D);
    for (let i = 0; i < piece.length; i++) piece[i] = examples[(from * D + i) % examples.length]! + 0.03 * normal();
    await file.write(new Uint8Array(piece.buffer));
  }
  await file.close();
}

/** Runs the built command; its own memory is read from the system now and then. */
async function timed(args: readonly string[]): Promise<{ seconds: number; megabytes: number }> {
  const started = performance.now();
  const child = spawn(process.execPath, [join(root, "dist/cli/pursuit.js"), ...args], { stdio: "ignore" });
  let kilobytes = 0;
  const timer = setInterval(() => {
    readFile(`/proc/${child.pid}/status`, "utf8").then(
      (text) => (kilobytes = Math.max(kilobytes, Number(/VmHWM:\s+(\d+)/.exec(text)?.[1] ?? 0))),
      () => {},
    );
  }, 100);
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  clearInterval(timer);
  if (code !== 0) throw new Error(`pursuit ${args.join(" ")} ended with ${code}`);
  return { seconds: (performance.now() - started) / 1000, megabytes: Math.round(kilobytes / 1024) };
}
