/** CPU time of the server process a row beside the engine: JumpReLU with some 60 active atoms, binary rows to msgpack. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { startLoaded } from "../../load-tests/server/loaded-server.ts";
import { encodeSafetensors } from "../../src/engine/dictionaries/formats/safetensors.ts";
import { normals } from "../../test/support/seeded.ts";

const D = 768;
const M = 4096;
const THRESHOLD = 2.18;
const ROWS = 32;
const CONNECTIONS = 16;
/** Requests that warm the server up until its code is compiled, and those measured. */
const REQUESTS = [3000, 3000] as const;
const GOAL = 15;

/** @param scratch folder for the dictionary. @returns one line */
export async function measureOwnCpu(scratch: string): Promise<string> {
  const models = join(scratch, "models");
  await mkdir(join(models, "jumprelu"), { recursive: true });
  const matrix = normals(M * D, 1);
  for (let at = 0; at < matrix.length; at++) matrix[at]! /= Math.sqrt(D);
  const tensors = {
    atoms: { shape: [M, D], data: matrix },
    encoder_weight: { shape: [M, D], data: matrix },
    encoder_bias: { shape: [M], data: new Float32Array(M) },
    threshold: { shape: [M], data: new Float32Array(M).fill(THRESHOLD) },
  };
  await writeFile(join(models, "jumprelu", "weights.safetensors"), encodeSafetensors(tensors));
  const encoder = { comparison: "strict", center: false, subtract_center: false, input_norm: "none" };
  const manifest = { format: 1, id: "jumprelu", kind: "jumprelu", role: "autoencoder", d: D, m: M, encoder };
  await writeFile(
    join(models, "jumprelu", "dictionary.json"),
    JSON.stringify({ ...manifest, provenance: { data: "made for a bench" } }),
  );
  const server = await startLoaded(models, { PURSUIT_MAX_WAIT_MS: "600000" });
  try {
    const url = `${server.base}/v1/dictionaries/jumprelu/encode?dtype=float32&rows=${ROWS}`;
    const headers = { "content-type": "application/octet-stream", accept: "application/msgpack" };
    const rows = normals(ROWS * D, 2);
    const body = new Uint8Array(rows.buffer, 0, rows.byteLength) as Uint8Array<ArrayBuffer>;
    const send = async (count: number): Promise<void> => {
      let left = count;
      const connection = async (): Promise<void> => {
        while (left-- > 0) {
          const answer = await fetch(url, { method: "POST", headers, body });
          const bytes = await answer.arrayBuffer();
          if (answer.status !== 200) throw new Error(`${answer.status}: ${Buffer.from(bytes).toString()}`);
        }
      };
      await Promise.all(Array.from({ length: CONNECTIONS }, connection));
    };
    await send(REQUESTS[0]);
    const before = await server.usage();
    await send(REQUESTS[1]);
    const after = await server.usage();
    const micro = (of: "serverCpuSeconds" | "runtimeCpuSeconds"): number =>
      ((after[of] - before[of]) * 1e6) / (REQUESTS[1] * ROWS);
    const own = micro("serverCpuSeconds");
    const verdict = own <= GOAL ? "met" : "MISSED";
    const engine = micro("runtimeCpuSeconds").toFixed(1);
    return `server's own CPU, jumprelu ${D} × ${M}, octet-stream to msgpack: ${own.toFixed(1)} us a row, goal ${GOAL}: ${verdict} (the engine's: ${engine})`;
  } finally {
    await server.stop();
  }
}
