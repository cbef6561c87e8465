/** The built server over the shipped dictionary and a broken one, by plain HTTP. */
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { itInFull } from "../support/full.ts";
import { readExamples } from "../../src/engine/dictionaries/examples.ts";
import { type Code, type Encoded, get, post } from "../support/client.ts";
import { type RunningServer, startServer } from "../support/running-server.ts";
import { normals } from "../support/seeded.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

const ID = "minilm-wordnet-mp";
const shipped = fileURLToPath(new URL(`../../models/${ID}`, import.meta.url));
const models = temporaryFolder();
const D = 384;
const M = 4096;
let server: RunningServer;
let rows: number[][];

beforeAll(async () => {
  cpSync(shipped, join(models, ID), { recursive: true });
  mkdirSync(join(models, "broken"));
  writeFileSync(join(models, "broken", "dictionary.json"), '{"format": 2, "d": -1}');
  mkdirSync(join(models, "no such id"));
  const examples = (await readExamples(shipped, D))!;
  rows = Array.from({ length: 16 }, (_, i) => [...examples.rows.subarray(i * D, (i + 1) * D)]);
  server = await startServer(models, temporaryFolder(), { PURSUIT_MAX_ANSWER: "1000000" });
});
afterAll(async () => {
  await server.stop();
});

const encode = (body: object, id = ID): Promise<Encoded> => post(server.base, `/v1/dictionaries/${id}/encode`, body);

describe("encode", () => {
  it("answers one code a row, of distinct ascending atoms, and says how good the batch is", async () => {
    const { dictionary, sha256, codes, mean_atoms, explained_variance } = await encode({
      inputs: rows,
      budget: { max_atoms: 16 },
      include: ["summary"],
    });
    expect(dictionary).toBe(ID);
    expect(sha256).toMatch(/^[0-9a-f]{64}$/);
    expect(codes).toHaveLength(rows.length);
    for (const { indices, values, atoms, steps, relative_error, stop } of codes) {
      expect(indices).toEqual([...new Set(indices)].toSorted((a, b) => a - b));
      expect(values.every((value) => value !== 0 && Number.isFinite(value))).toBe(true);
      expect({ atoms, steps, stop }).toEqual({ atoms: indices.length, steps: 16, stop: "max_atoms" });
      expect(relative_error).toBeLessThan(0.7);
    }
    expect(mean_atoms).toBe(codes.reduce((sum, { atoms }) => sum + atoms, 0) / codes.length);
    expect(explained_variance).toBeGreaterThan(0.6);
  });

  it("warns of rows that are not of the dictionary's model, in every format, and of no others", async () => {
    const foreign = Array.from({ length: 4 }, (_, i) => [...normals(D, i)]);
    const body = { inputs: foreign, budget: { max_atoms: 8 } };
    expect(await encode(body)).toHaveProperty("warning", expect.stringContaining("model, layer and scale"));
    for (const accept of ["application/msgpack", "application/vnd.safetensors"]) {
      const answer = await fetch(`${server.base}/v1/dictionaries/${ID}/encode`, {
        method: "POST",
        headers: { "content-type": "application/json", accept },
        body: JSON.stringify(body),
      });
      expect(Buffer.from(await answer.arrayBuffer()).toString("latin1")).toContain("model, layer and scale");
    }
    expect(await encode({ inputs: rows, budget: { max_atoms: 8 } })).not.toHaveProperty("warning");
  });

  it("gives every row its own budget", async () => {
    const budget = rows.map((_, i) => (i % 2 === 0 ? { max_atoms: i } : { tolerance: 0.5 }));
    const { codes } = await encode({ inputs: rows, budget });
    for (const [i, { steps, stop, relative_error }] of codes.entries()) {
      if (i % 2 === 0) expect({ steps, stop }).toEqual({ steps: i, stop: "max_atoms" });
      else {
        expect(stop).toBe("tolerance");
        expect(relative_error).toBeLessThanOrEqual(0.5);
      }
    }
  });

  it("codes a row alone as among others, and as base64 as in numbers", async () => {
    const budget = { max_atoms: 24 };
    const together = await encode({ inputs: rows, budget });
    for (const [i, row] of rows.entries())
      expect((await encode({ inputs: [row], budget })).codes[0]).toEqual(together.codes[i]);
    for (const [dtype, type] of [
      ["float32", Float32Array],
      ["float64", Float64Array],
    ] as const) {
      const data = Buffer.from(type.from(rows.flat()).buffer).toString("base64");
      expect(await encode({ inputs: { data, dtype, shape: [rows.length, D] }, budget })).toEqual(together);
    }
  });

  it("traces every selection: its first k are the pursuit of budget k", async () => {
    const deep = await encode({ inputs: rows, budget: { max_atoms: 20 }, include: ["trace"] });
    for (const k of [1, 7, 19]) {
      const shallow = await encode({ inputs: rows, budget: { max_atoms: k }, include: ["trace"] });
      for (const [i, { trace }] of shallow.codes.entries()) {
        const { indices, values, residual_norms } = deep.codes[i]!.trace!;
        expect(trace).toEqual({
          indices: indices.slice(0, k),
          values: values.slice(0, k),
          residual_norms: residual_norms.slice(0, k),
        });
      }
    }
    for (const { trace } of deep.codes)
      expect(trace!.residual_norms).toEqual(trace!.residual_norms.toSorted((a, b) => b - a));
  });

  it("keeps the shape of [batch, seq, d]", async () => {
    const inputs = [rows.slice(0, 3), rows.slice(3, 6)];
    const nested = await encode({ inputs, budget: { max_atoms: 4 } });
    expect(nested).toMatchObject({ shape: [2, 3, D] });
    expect(nested.codes).toEqual((await encode({ inputs: rows.slice(0, 6), budget: { max_atoms: 4 } })).codes);
  });

  it("writes the same codes as sparse, csr, dense and map", async () => {
    const body = { inputs: rows.slice(0, 4), budget: { max_atoms: 6 } };
    const { codes } = await encode(body);
    const url = `/v1/dictionaries/${ID}/encode`;
    const csr = await post<{
      indptr: number[];
      indices: number[];
      values: number[];
      shape: number[];
      atoms: number[];
      stop: string[];
    }>(server.base, url, { ...body, format: "csr" });
    expect(csr).toMatchObject({
      shape: [4, M],
      atoms: codes.map(({ atoms }) => atoms),
      stop: codes.map(({ stop }) => stop),
    });
    const dense = await post<{ codes: { values: number[] }[] }>(server.base, url, { ...body, format: "dense" });
    const map = await post<{ codes: { values: Record<string, number> }[] }>(server.base, url, {
      ...body,
      format: "map",
    });
    for (const [i, { indices, values }] of codes.entries()) {
      const [from, to] = [csr.indptr[i]!, csr.indptr[i + 1]!];
      expect([csr.indices.slice(from, to), csr.values.slice(from, to)]).toEqual([indices, values]);
      expect(Object.entries(map.codes[i]!.values)).toEqual(indices.map((index, k) => [String(index), values[k]]));
      const nonzero = [...dense.codes[i]!.values.entries()].filter(([, value]) => value !== 0);
      expect(dense.codes[i]!.values).toHaveLength(M);
      expect(nonzero).toEqual(indices.map((index, k) => [index, values[k]]));
    }
  });

  it("refuses a dense answer over the limit before it encodes, with the number", async () => {
    const inputs = Array.from({ length: 200 }, (_, i) => rows[i % rows.length]!);
    await expect(encode({ inputs, format: "dense" })).rejects.toThrow(/413.*about 1638400 bytes; at most 1000000/);
    expect((await encode({ inputs, budget: { max_atoms: 1 } })).codes).toHaveLength(200);
  });

  it("tells the stages' times, in milliseconds", async () => {
    const answer = await fetch(`${server.base}/v1/dictionaries/${ID}/encode`, {
      method: "POST",
      headers: { "content-type": "application/json", "x-request-id": "mine-1" },
      body: JSON.stringify({ inputs: rows, budget: { max_atoms: 2 } }),
    });
    expect(answer.headers.get("x-request-id")).toBe("mine-1");
    const stages = Object.fromEntries(
      answer.headers
        .get("server-timing")!
        .split(", ")
        .map((stage) => {
          const [name, duration] = stage.split(";dur=");
          return [name, Number(duration)];
        }),
    ) as Record<string, number>;
    expect(Object.keys(stages)).toEqual(["decode", "queue", "encode", "write", "total"]);
    expect(stages["total"]).toBeGreaterThanOrEqual(stages["decode"]! + stages["encode"]!);
  });
});

describe("decode", () => {
  it("takes codes as encode gave them, and gives the reconstruction", async () => {
    const { codes } = await encode({ inputs: rows, budget: { max_atoms: 32 }, include: ["reconstruction"] });
    const { outputs } = await post<{ outputs: number[][] }>(server.base, `/v1/dictionaries/${ID}/decode`, { codes });
    expect(outputs).toEqual(codes.map(({ reconstruction }) => reconstruction));
    for (const [i, output] of outputs.entries()) {
      const left = Math.hypot(...output.map((value, c) => value - rows[i]![c]!));
      expect(left).toBeCloseTo(codes[i]!.residual_norm, 5);
    }
  });

  it("takes the features in any order", async () => {
    const { codes } = await encode({ inputs: rows.slice(0, 1), budget: { max_atoms: 5 } });
    const [{ indices, values }] = codes as [Code];
    const decode = (code: object): Promise<unknown> =>
      post(server.base, `/v1/dictionaries/${ID}/decode`, { codes: [code] });
    expect(await decode({ indices: indices.toReversed(), values: values.toReversed() })).toEqual(
      await decode({ indices, values }),
    );
  });
});

describe("what is served", () => {
  it("lists the broken dictionary with its faults beside the good one", async () => {
    const { dictionaries } = await get<{ dictionaries: Record<string, unknown>[] }>(server.base, "/v1/dictionaries");
    expect(dictionaries.map(({ id, state }) => [id, state])).toEqual([
      ["broken", "failed"],
      [ID, "ready"],
    ]);
    const faults = dictionaries[0]!["faults"] as string[];
    expect(faults.join("\n")).toMatch(/format is 2(.|\n)*d is -1/);
    expect(server.log()).toContain("no such id");
    await expect(encode({ inputs: rows }, "broken")).rejects.toThrow(/503.*PURSUIT_DICTIONARY_FAILED/);
  });

  it("shows a dictionary's settings, what executes it, and its coherence", async () => {
    expect(await get(server.base, `/v1/dictionaries/${ID}`)).toMatchObject({
      id: ID,
      kind: "matching_pursuit",
      d: D,
      m: M,
      encoder: {
        score: "relu",
        reselect: "add",
        center: true,
        residual_threshold: 0,
        max_atoms: null,
        input_norm: "none",
      },
      max_atoms: 4096,
      runtime: "cpu",
      path: "fused",
      labels: true,
      coherence: { max_cosine: expect.any(Number), min_norm: expect.closeTo(1, 5), max_norm: expect.closeTo(1, 5) },
      provenance: { licence: "Apache-2.0" },
      faults: [],
    });
  });

  it("shows a feature with its nearest atoms, and their labels", async () => {
    interface Shown {
      readonly norm: number;
      readonly label?: string;
      readonly neighbours: readonly { readonly index: number; readonly cosine: number; readonly label?: string }[];
    }
    const feature = (index: number): Promise<Shown> => get(server.base, `/v1/dictionaries/${ID}/features/${index}`);
    const { norm, neighbours } = await feature(7);
    expect(norm).toBeCloseTo(1, 5);
    const cosines = neighbours.map(({ cosine }) => cosine);
    expect(cosines).toEqual(cosines.toSorted((a, b) => b - a));
    expect(neighbours.every(({ index }) => index !== 7)).toBe(true);
    const labels = await Promise.all(neighbours.map(async ({ index }) => (await feature(index)).label));
    expect(neighbours.map(({ label }) => label)).toEqual(labels);
    expect(labels.some((label) => label !== undefined)).toBe(true);
  });

  it("lists features by norm, and finds them by words and by a row", async () => {
    interface Page {
      readonly features: readonly { readonly index: number; readonly norm: number; readonly cosine?: number }[];
      readonly total: number;
      readonly next?: string;
    }
    const path = `/v1/dictionaries/${ID}/features`;
    const { features, total, next } = await get<Page>(server.base, `${path}?sort=norm&limit=3`);
    expect([total, next, features.length]).toEqual([4096, "3", 3]);
    const norms = features.map(({ norm }) => norm);
    expect(norms).toEqual(norms.toSorted((a, b) => b - a));
    const found = await get<Page>(server.base, `${path}?query=bird%20qqqqqq&limit=1`);
    expect(found.features[0]).toMatchObject({ label: expect.stringMatching(/bird/), label_source: "labels.json" });

    const { codes } = await encode({ inputs: rows.slice(0, 1), budget: { max_atoms: 1 } });
    const [first] = (codes as [Code])[0].indices;
    const near = await post<Page>(server.base, `${path}/search`, { inputs: rows.slice(0, 1), n: 2 });
    // A pursuit over atoms of unit norm starts with the atom of the largest cosine.
    expect(near.features.map(({ index }) => index)[0]).toBe(first);
    expect(near.features[0]!.cosine).toBeGreaterThan(near.features[1]!.cosine!);
  });

  it("offers the examples of its folder, and a map of its atoms", async () => {
    const { inputs, texts } = await get<{ inputs: number[][]; texts: string[] }>(
      server.base,
      `/v1/dictionaries/${ID}/examples`,
    );
    expect([inputs.length, inputs[0]!.length]).toEqual([texts.length, 384]);
    const answer = await fetch(`${server.base}/v1/dictionaries/${ID}/map`);
    expect([answer.status, (await answer.arrayBuffer()).byteLength]).toEqual([200, 4 * 2 * M]);
  });

  it("is live, and not ready by the default rule: the broken dictionary and its faults are named", async () => {
    expect(await get(server.base, "/health/live")).toEqual({ status: "live" });
    const broken = {
      id: "broken",
      state: "failed",
      faults: expect.arrayContaining(["dictionary.json: format is 2; it must be 1."]),
    };
    const answer = await fetch(`${server.base}/health/ready`);
    expect([answer.status, answer.headers.get("retry-after")]).toEqual([503, "1"]);
    expect(await answer.json()).toMatchObject({ status: "not ready", dictionaries: [broken] });
    expect(server.log()).toMatch(/1 of 2 dictionaries do not answer: broken \(failed\).*PURSUIT_READY=any/);
  });

  itInFull("answers the readiness probe of deploy/kserve.yaml as its comment says, by either rule", async () => {
    const deployment = readFileSync(new URL("../../deploy/kserve.yaml", import.meta.url), "utf8");
    const [, promise, path] = /# (Ready once [^]*?)readinessProbe:[^]*?path: (\S+)/.exec(deployment)!;
    expect(promise).toMatch(/every dictionary has encoded a row\. A failed one keeps the pod unready.*names it/);
    expect(promise).toMatch(/PURSUIT_READY=any needs only one dictionary/);
    const strict = await fetch(`${server.base}${path}`);
    expect([strict.status, await strict.json()]).toEqual([
      503,
      { live: true, ready: false, error: expect.stringContaining("broken (failed)") },
    ]);
    const lenient = await startServer(models, temporaryFolder(), { PURSUIT_READY: "any" });
    const answer = await fetch(`${lenient.base}${path}`);
    const listed = await get<{ dictionaries: unknown }>(lenient.base, "/health/ready");
    await lenient.stop();
    expect([answer.status, await answer.json()]).toEqual([200, { live: true, ready: true }]);
    expect(listed).toMatchObject({ status: "ready", dictionaries: [{ id: "broken", state: "failed" }] });
  });

  it("is described by the committed OpenAPI document, and shown at /docs", async () => {
    const committed: unknown = JSON.parse(readFileSync(new URL("../../openapi/openapi.json", import.meta.url), "utf8"));
    expect(await get(server.base, "/openapi.json")).toEqual(committed);
    const docs = await fetch(`${server.base}/docs/`);
    expect([docs.status, docs.headers.get("content-type")]).toEqual([200, expect.stringContaining("text/html")]);
  });

  it("counts requests, stages and rows in its metrics", async () => {
    await encode({ inputs: rows.slice(0, 2), budget: { max_atoms: 3 } });
    const text = await (await fetch(`${server.base}/metrics`)).text();
    for (const name of [
      "requests_total",
      "request_seconds",
      "stage_seconds",
      "queue_rows",
      "batch_rows",
      "rows_total",
      "atoms_per_row",
      "relative_error",
      "stops_total",
      "shed_total",
      "runtime_info",
      "runtime_restarts_total",
      "build_info",
      "ready",
      "predicted_wait_seconds",
      "busy_core_seconds_total",
      "in_flight_bytes",
      "dictionary_state",
      "dictionary_memory_bytes",
    ]) {
      expect(text).toContain(`# TYPE pursuit_${name} `);
    }
    expect(text).toContain(`pursuit_runtime_info{dictionary="${ID}",runtime="cpu",path="fused"} 1`);
    expect(text).toMatch(new RegExp(`pursuit_stops_total\\{dictionary="${ID}",stop="max_atoms"\\} \\d+`));
    expect(text).toMatch(/pursuit_requests_total\{route="\/v1\/dictionaries\/\{id\}\/encode",code="200"\} \d+/);
    expect(text).toContain(`\npursuit_queue_rows{dictionary="${ID}"} 0\n`);
    // One of its dictionaries is broken.
    expect(text).toContain("\npursuit_ready 0\n");
    expect(text).toMatch(/^pursuit_dictionary_state\{dictionary="(?!minilm)[^"]+",state="failed"\} 1$/m);
    expect(text).toContain('\npursuit_requests_total{route="/v1/transfer",code="429"} 0\n');
    expect(text).toContain(`\npursuit_dictionary_state{dictionary="${ID}",state="ready"} 1\n`);
    expect(text).toMatch(new RegExp(`^pursuit_predicted_wait_seconds\\{dictionary="${ID}"\\} \\d`, "m"));
    // It has encoded, so turns have held cores; no body is in flight.
    expect(text).toMatch(/^pursuit_busy_core_seconds_total\{work="requests"\} (?!0$)/m);
    expect(text).toContain("\npursuit_in_flight_bytes 0\n");
  });
});
