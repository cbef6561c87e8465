/** A transcoder over a socket: what it answers with and without targets, and what it refuses. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writeDictionary } from "../../src/engine/dictionaries/importing/write-dictionary.ts";
import { type RunningServer, startServer } from "../support/running-server.ts";
import { normals } from "../support/seeded.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";
import { skipTranscoder } from "../support/transcoder.ts";

const D_IN = 6;
const D_OUT = 4;
const M = 20;
const rowsOf = (count: number, width: number, seed: number): number[][] =>
  Array.from({ length: count }, (_, i) => [...normals(width, seed + i)]);

describe("a transcoder", () => {
  const models = temporaryFolder();
  const inputs = rowsOf(5, D_IN, 10);
  const targets = rowsOf(5, D_OUT, 20);
  let server: RunningServer;

  beforeAll(async () => {
    const understood = {
      source: "a test",
      weights: skipTranscoder(D_IN, D_OUT, M),
      origins: {},
      notes: [],
      provenance: {
        model_name: "gpt2-small",
        layer: 8,
        hook_name: "blocks.8.mlp.hook_in",
        hook_name_out: "blocks.8.hook_mlp_out",
        release: "some-release",
        sae_id: "layer_8",
        neuronpedia_id: 12,
      },
    };
    await writeDictionary(understood, { modelsDir: models, id: "coder", force: false });
    server = await startServer(models, temporaryFolder());
  });
  afterAll(() => server.stop());

  const call = async (path: string, body?: object): Promise<{ status: number; body: Record<string, unknown> }> => {
    const answer = await fetch(`${server.base}${path}`, {
      ...(body && { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) }),
    });
    return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
  };
  const encode = (body: object) => call("/v1/dictionaries/coder/encode", { inputs, ...body });

  it("says its role and both widths", async () => {
    const { body } = await call("/v1/dictionaries/coder");
    expect(body).toMatchObject({ role: "transcoder", d_in: D_IN, d_out: D_OUT, m: M, kind: "jumprelu" });
  });

  it("says its thresholds' range, where its rows come from, and its name in the registry", async () => {
    const { body } = await call("/v1/dictionaries/coder");
    const { threshold } = skipTranscoder(D_IN, D_OUT, M).tensors;
    expect(body["thresholds"]).toEqual({ min: Math.min(...threshold!), max: Math.max(...threshold!) });
    expect(body["source"]).toEqual({
      model: "gpt2-small",
      layer: 8,
      hook: "blocks.8.mlp.hook_in",
      hook_out: "blocks.8.hook_mlp_out",
    });
    expect(body["registry"]).toEqual({ release: "some-release", id: "layer_8" });
  });

  it("answers codes without residual figures where it has no targets", async () => {
    const { status, body } = await encode({ include: ["trace", "summary"] });
    expect(status).toBe(200);
    expect(body["explained_variance"]).toBeNull();
    for (const code of body["codes"] as Record<string, unknown>[]) {
      expect(code).not.toHaveProperty("residual_norm");
      expect(code).not.toHaveProperty("relative_error");
      expect(code["trace"]).not.toHaveProperty("residual_norms");
      expect(code["stop"]).toBe("active_end");
    }
  });

  it("measures against targets, and its reconstruction is what decode makes beside the rows", async () => {
    const { status, body } = await encode({ targets, include: ["reconstruction"] });
    expect(status).toBe(200);
    const codes = body["codes"] as { residual_norm: number; reconstruction: number[] }[];
    for (const [i, { residual_norm: left, reconstruction }] of codes.entries()) {
      const gap = Math.hypot(...reconstruction.map((value, c) => targets[i]![c]! - value));
      expect(left / gap).toBeCloseTo(1, 4);
    }
    const decoded = await call("/v1/dictionaries/coder/decode", { codes, inputs });
    const outputs = decoded.body["outputs"] as number[][];
    for (const [i, { reconstruction }] of codes.entries()) {
      for (const [c, value] of reconstruction.entries()) expect(outputs[i]![c]).toBeCloseTo(value, 4);
    }
  });

  it("takes budgets by the residual beside targets, for single rows of one batch, too", async () => {
    const [first, second] = await Promise.all([encode({ targets, budget: { tolerance: 0.9 } }), encode({})]);
    expect(first.status).toBe(200);
    expect(second.status).toBe(200);
    const stops = (first.body["codes"] as { stop: string }[]).map(({ stop }) => stop);
    expect(stops.every((stop) => ["tolerance", "active_end"].includes(stop))).toBe(true);
  });

  it.each<[string, string, object, RegExp]>([
    [
      "a tolerance without targets",
      "encode",
      { inputs, budget: { tolerance: 0.1 } },
      /budget\.tolerance of row 0.*Send targets/,
    ],
    ["targets of another number", "encode", { inputs, targets: targets.slice(1) }, /4 rows of 4; 5 rows of 4 were due/],
    ["targets of another width", "encode", { inputs, targets: inputs }, /5 rows of 6; 5 rows of 4 were due/],
    ["rows of the output's width", "encode", { inputs: targets }, /4 wide; this dictionary takes rows of 6/],
    [
      "codes without the rows of its skip",
      "decode",
      { codes: [{ indices: [0], values: [1] }] },
      /send the rows as "inputs"/,
    ],
    [
      "rows of another number than codes",
      "decode",
      { codes: [{ indices: [0], values: [1] }], inputs },
      /5 rows for 1 codes/,
    ],
    [
      "steering",
      "steer",
      { inputs, edits: [{ feature: 0, op: "remove" }] },
      /is a transcoder: its features make another/,
    ],
  ])("refuses %s with 422 and what to do", async (_what, path, body, message) => {
    const { status, body: problem } = await call(`/v1/dictionaries/coder/${path}`, body);
    expect(status).toBe(422);
    expect(problem["detail"]).toMatch(message);
  });

  it("serves /v2 without residual outputs", async () => {
    const metadata = await call("/v2/models/coder");
    const names = (metadata.body["outputs"] as { name: string }[]).map(({ name }) => name);
    expect(names).not.toContain("relative_error");
    expect(names).not.toContain("residual_norm");
    const { status, body } = await call("/v2/models/coder/infer", {
      inputs: [{ name: "rows", datatype: "FP32", shape: [5, D_IN], data: inputs.flat() }],
    });
    expect(status).toBe(200);
    expect((body["outputs"] as { name: string }[]).map(({ name }) => name)).toEqual([
      "indices",
      "values",
      "atoms",
      "stop",
    ]);
  });
});
