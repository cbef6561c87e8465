/** The built server answers the largest of D·(x − b) beside codes, and refuses what cannot be answered. */
import { cpSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writeDictionary } from "../../src/engine/dictionaries/importing/write-dictionary.ts";
import { oracleCorrelations } from "../support/oracle.ts";
import { type RunningServer, startServer } from "../support/running-server.ts";
import { normals, randomAtoms } from "../support/seeded.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";
import { skipTranscoder } from "../support/transcoder.ts";
import { readSafetensors } from "../support/wire-answers.ts";

const SHIPPED = fileURLToPath(new URL("../../models/minilm-wordnet-mp", import.meta.url));
const [D, M, K] = [16, 64, 4];
/** Atoms of several norms: a pursuit over them norms them inside. */
const atoms = randomAtoms(M, D, 1).map((value, at) => value * (0.25 + Math.floor(at / D) / 16));
const center = normals(D, 2);
const topk = {
  kind: "topk",
  role: "autoencoder",
  dIn: D,
  d: D,
  m: M,
  atoms,
  center,
  settings: { center: true, subtractCenter: false, inputNorm: "none", k: K },
  tensors: { encoder_weight: randomAtoms(M, D, 3), encoder_bias: new Float32Array(M) },
} as const;
const rows = Array.from({ length: 5 }, (_, i) => [...normals(D, 50 + i)]);

interface Largest {
  readonly indices: number[];
  readonly values: number[];
}

let server: RunningServer;
beforeAll(async () => {
  const models = temporaryFolder();
  for (const [id, weights] of Object.entries({ topk, coder: skipTranscoder(D, D, 8) })) {
    const understood = { source: "a test", weights, origins: {}, notes: [], provenance: {} };
    await writeDictionary(understood, { modelsDir: models, id, force: false });
  }
  cpSync(SHIPPED, `${models}/minilm-wordnet-mp`, { recursive: true });
  server = await startServer(models, temporaryFolder(), {
    PURSUIT_MAX_ANSWER: "1000000",
    PURSUIT_MAX_WAIT_MS: "600000",
  });
}, 60_000);
afterAll(() => server.stop());

async function encode(id: string, body: object): Promise<{ status: number; body: Record<string, unknown> }> {
  const answer = await fetch(`${server.base}/v1/dictionaries/${id}/encode`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
}

/** Whether these are the largest of a row in float64, by ascending index. */
function check({ indices, values }: Largest, x: readonly number[], weights: Parameters<typeof oracleCorrelations>[1]) {
  const scores = oracleCorrelations(x, weights);
  const best = [...scores.keys()].toSorted((a, b) => scores[b]! - scores[a]!).slice(0, indices.length);
  expect(indices).toEqual(best.toSorted((a, b) => a - b));
  for (const [k, j] of indices.entries()) expect(values[k]).toBeCloseTo(scores[j]!, 4);
}

describe("include correlations", () => {
  it.each(["own", "matching_pursuit"])("of the decoder's rows, whatever encodes: %s", async (encoder) => {
    const asked = { inputs: rows, encoder, include: ["correlations"], correlations: 7 };
    const { status, body } = await encode("topk", asked);
    expect(status, JSON.stringify(body)).toBe(200);
    const codes = body["codes"] as { correlations: Largest }[];
    for (const [i, { correlations }] of codes.entries()) check(correlations, rows[i]!, topk);
  });

  it("of more rows than one call takes, as safetensors, lines and JSON", async () => {
    const tensors = readSafetensors(readFileSync(`${SHIPPED}/examples.safetensors`)).tensors["rows"]!;
    const weights = readSafetensors(readFileSync(`${SHIPPED}/weights.safetensors`)).tensors;
    const [m, d] = weights["atoms"]!.shape as [number, number];
    const dictionary = {
      atoms: Float32Array.from(weights["atoms"]!.data),
      center: Float32Array.from(weights["center"]!.data),
      m,
      d,
    };
    const count = tensors.shape[0]!;
    expect(count).toBeGreaterThan(63);
    const inputs = Array.from({ length: count }, (_, i) => tensors.data.slice(i * d, (i + 1) * d));
    const asked = { budget: { max_atoms: 2 }, include: ["correlations"], correlations: 20 };
    const { body } = await encode("minilm-wordnet-mp", { inputs, ...asked });
    const largest = (body["codes"] as { correlations: Largest }[]).map(({ correlations }) => correlations);
    for (const [i, one] of largest.entries()) check(one, inputs[i]!, dictionary);

    const query = "dtype=float32&rows=64&max_atoms=2&include=correlations&correlations=20";
    const answer = await fetch(`${server.base}/v1/dictionaries/minilm-wordnet-mp/encode?${query}`, {
      method: "POST",
      headers: { "content-type": "application/octet-stream", accept: "application/vnd.safetensors" },
      body: Buffer.from(Float32Array.from(tensors.data).buffer),
    });
    const read = readSafetensors(new Uint8Array(await answer.arrayBuffer())).tensors;
    expect(read["correlations_indices"]!.shape).toEqual([count, 20]);
    expect(read["correlations_indices"]!.data).toEqual(largest.flatMap(({ indices }) => indices));
    expect(read["correlations_values"]!.data).toEqual(largest.flatMap(({ values }) => values.map(Math.fround)));

    const lines = await fetch(
      `${server.base}/v1/dictionaries/minilm-wordnet-mp/encode?include=correlations&correlations=20`,
      {
        method: "POST",
        headers: { "content-type": "application/x-ndjson" },
        body: inputs.map((row) => JSON.stringify(row)).join("\n"),
      },
    );
    const first = JSON.parse((await lines.text()).split("\n")[0]!) as { correlations: Largest };
    expect(first.correlations).toEqual(largest[0]);
  });

  it.each<[string, string, object, number, RegExp]>([
    ["without a number", "topk", { include: ["correlations"] }, 422, /^correlations is missing/],
    ["a number alone", "topk", { correlations: 3 }, 422, /include does not name them/],
    ["more than there are atoms", "topk", { include: ["correlations"], correlations: 65 }, 422, /has 64 atoms/],
    ["none", "topk", { include: ["correlations"], correlations: 0 }, 422, /correlations/],
    ["a transcoder", "coder", { include: ["correlations"], correlations: 3 }, 422, /^include: dictionary coder/],
  ])("refuses %s", async (_what, id, asked, expected, detail) => {
    const { status, body } = await encode(id, { inputs: rows, ...asked });
    expect([status, body["detail"]]).toEqual([expected, expect.stringMatching(detail)]);
  });

  it("counts them in the answer's limit before anything is encoded", async () => {
    const inputs = Array.from({ length: 40 }, () => Array.from({ length: 384 }, () => 0.05));
    const asked = { inputs, include: ["correlations"], correlations: 4096 };
    const encoded = async () =>
      /pursuit_rows_total\{.*minilm-wordnet-mp.*/.exec(await (await fetch(`${server.base}/metrics`)).text())?.[0];
    const before = await encoded();
    const { status, body } = await encode("minilm-wordnet-mp", asked);
    expect([status, body["code"]]).toEqual([413, "PURSUIT_ANSWER_TOO_LARGE"]);
    expect(body["detail"]).toContain(`about ${40 * 4096 * 8} bytes`);
    expect(await encoded()).toBe(before);
  });
});
