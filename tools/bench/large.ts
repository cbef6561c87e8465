/**
 * Seconds and memory of loading a large one-pass dictionary, in a process of its own, beside the goals: 60 seconds, and 1.15 ×
 * encoder and decoder in float32 + 400 MB. It is written to a temporary folder first, so the disk is warm:
 *
 *     npm run build && npx tsx tools/bench/large.ts --atoms 262144 --width 2560 --dtype BF16
 */
import { execFile } from "node:child_process";
import { mkdtemp, open, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Command } from "commander";
import { normals } from "../../test/support/seeded.ts";

interface Flags {
  readonly atoms: string;
  readonly width: string;
  readonly dtype: "F32" | "BF16";
}

const flags = new Command()
  .option("--atoms <count>", "", "262144")
  .option("--width <count>", "", "2560")
  .option("--dtype <type>", "F32 or BF16, on disk", "F32")
  .parse()
  .opts<Flags>();
const [m, d] = [Number(flags.atoms), Number(flags.width)];
const float32 = 2 * 4 * m * d;
const SECONDS = 60;
const GB = 1e9;
const allowed = 1.15 * float32 + 0.4 * GB;

/** Copies of encoder and decoder that must be free before this starts. */
const ROOM = 1.6;

const available = 1024 * Number(/^MemAvailable:\s+(\d+)/m.exec(await readFile("/proc/meminfo", "utf8"))![1]);
if (available < ROOM * float32) {
  throw new Error(`${(available / GB).toFixed(1)} GB are free; this needs ${((ROOM * float32) / GB).toFixed(1)}.`);
}

const folder = await mkdtemp(join(tmpdir(), "pursuit-large-"));
try {
  await writeDictionary();
  const script = fileURLToPath(new URL("load-once.js", import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, [script, folder], {
    env: { ...process.env, ORT_DISABLE_TELEMETRY: "1" },
  });
  const { seconds, peak, anonymous, after } = JSON.parse(stdout) as Record<
    "seconds" | "peak" | "anonymous" | "after",
    number
  >;
  const of = (bytes: number): string => `${(bytes / GB).toFixed(2)} GB, ${(bytes / float32).toFixed(2)} copies`;
  console.log(`${m} × ${d} ${flags.dtype}: encoder and decoder are ${(float32 / GB).toFixed(2)} GB in float32`);
  console.log(
    `loaded and encoded a row in ${seconds.toFixed(1)} s, goal ${SECONDS}: ${seconds <= SECONDS ? "met" : "MISSED"}`,
  );
  const verdict = peak <= allowed ? "met" : "MISSED";
  console.log(
    `peak ${of(peak)}, goal ${(allowed / GB).toFixed(2)} GB: ${verdict}; without mapped files ${of(anonymous)}`,
  );
  console.log(`afterwards ${of(after)}`);
} finally {
  await rm(folder, { recursive: true, force: true });
}

/** Every tensor repeats one block of seeded numbers. */
async function writeDictionary(): Promise<void> {
  const encoder = { comparison: "strict", center: false, subtract_center: false, input_norm: "none" };
  const manifest = { format: 1, id: "large", kind: "jumprelu", role: "autoencoder", d, m, encoder };
  await writeFile(
    join(folder, "dictionary.json"),
    JSON.stringify({ ...manifest, provenance: { data: "made for a bench" } }),
  );
  const bytes = flags.dtype === "F32" ? 4 : 2;
  const header: Record<string, unknown> = {};
  let at = 0;
  const add = (name: string, dtype: string, shape: number[], size: number): void => {
    header[name] = { dtype, shape, data_offsets: [at, at + size] };
    at += size;
  };
  add("atoms", flags.dtype, [m, d], bytes * m * d);
  add("encoder_weight", flags.dtype, [m, d], bytes * m * d);
  add("encoder_bias", "F32", [m], 4 * m);
  add("threshold", "F32", [m], 4 * m);
  const head = Buffer.from(JSON.stringify(header).padEnd(8 * Math.ceil(JSON.stringify(header).length / 8)));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(head.length));
  const rows = Math.min(m, 1024);
  const block = normals(rows * d, 1);
  for (let i = 0; i < block.length; i++) block[i]! /= Math.sqrt(d);
  const stored = flags.dtype === "F32" ? block : Uint16Array.from(new Uint32Array(block.buffer), (word) => word >>> 16);
  const file = await open(join(folder, "weights.safetensors"), "wx");
  try {
    await file.writeFile(Buffer.concat([length, head]));
    for (let written = 0; written < 2 * m; written += rows) {
      const left = Math.min(rows, (written < m ? m : 2 * m) - written);
      await file.writeFile(new Uint8Array(stored.buffer, 0, bytes * left * d));
      if (left < rows) written += left - rows;
    }
    for (const values of [new Float32Array(m), new Float32Array(m).fill(2.7)]) {
      await file.writeFile(new Uint8Array(values.buffer));
    }
  } finally {
    await file.close();
  }
}
