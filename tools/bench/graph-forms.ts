/**
 * Rows per second of the two forms of the pursuit graph on the shipped dictionary and its own rows:
 *
 *     npx tsx tools/bench/graph-forms.ts
 */
import { fileURLToPath } from "node:url";
import { readExamples } from "../../src/engine/catalog/folder/examples.ts";
import { readManifest } from "../../src/engine/catalog/folder/manifest.ts";
import { loadWeights } from "../../src/engine/catalog/folder/weights.ts";
import { createEncoderSession } from "../../src/engine/executor/session/create-session.ts";
import { batchOf } from "../../test/support/batch.ts";
import { medianMs, table } from "./timing.ts";

process.env["ORT_DISABLE_TELEMETRY"] = "1";

const folder = fileURLToPath(new URL("../../models/minilm-wordnet-mp", import.meta.url));
const { weights } = await loadWeights(folder, await readManifest(folder));
const { rows } = (await readExamples(folder, weights.d))!;
const STEPS = 16;
const THREADS = 2;

const lines: (string | number)[][] = [["unroll", "batch", "residual rows/s", "gram rows/s", "gram / residual"]];
for (const unroll of [1, 4, 8]) {
  const options = { runtime: "cpu", threads: THREADS, unroll } as const;
  const residual = await createEncoderSession(weights, { ...options, path: "residual" });
  const gram = await createEncoderSession(weights, { ...options, path: "gram" });
  for (const count of [1, 8, 64, 256]) {
    const repeated = Float32Array.from({ length: count * weights.d }, (_, i) => rows[i % rows.length]!);
    const batch = { ...batchOf(repeated, weights.d, { maxAtoms: STEPS }), trace: false };
    // In turn, so that a change of the machine's speed meets both.
    const slow = (count / (await medianMs(15, () => residual.encode(batch)))) * 1000;
    const fast = (count / (await medianMs(15, () => gram.encode(batch)))) * 1000;
    lines.push([String(unroll), String(count), slow, fast, fast / slow]);
  }
  await residual.release();
  await gram.release();
}
console.log(`${weights.d} × ${weights.m}, ${STEPS} steps, ${THREADS} threads\n${table(lines)}`);
