/** Dictionaries over several layers over a socket: crosscoders with and without blocks, and a cross-layer transcoder. */
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { understand } from "../../src/engine/dictionaries/importing/understand.ts";
import { writeDictionary } from "../../src/engine/dictionaries/importing/write-dictionary.ts";
import { FIXTURES, matrix } from "../support/one-pass-fixture.ts";
import { type RunningServer, startServer } from "../support/running-server.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

const LAYERS = 3;
const D = 8;
/** Rows of one request. */
const N = 6;

const DICTIONARIES = {
  crosscoder: "layered/crosscoder-batch-topk",
  blocks: "layered/gemma-scope-2/crosscoder/layer_3_5_7_width_64k_l0_medium",
  clt: "layered/gemma-scope-2/clt/width_262k_l0_medium_affine",
  topk: "layered/clt-training-topk-normed",
} as const;
type Id = keyof typeof DICTIONARIES;

describe("dictionaries over several layers", () => {
  const models = temporaryFolder();
  let server: RunningServer;

  beforeAll(async () => {
    for (const [id, fixture] of Object.entries(DICTIONARIES)) {
      const understood = await understand(join(FIXTURES, fixture), {});
      const { loaded } = await writeDictionary(understood, { modelsDir: models, id, force: false });
      expect(loaded.weights).toEqual(understood.weights);
    }
    server = await startServer(models, temporaryFolder());
  });
  afterAll(() => server.stop());

  const call = async (path: string, body?: object): Promise<{ status: number; body: Record<string, unknown> }> => {
    const answer = await fetch(`${server.base}${path}`, {
      ...(body && { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) }),
    });
    return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
  };
  const post = (id: Id, verb: string, body: object) => call(`/v1/dictionaries/${id}/${verb}`, body);

  /** Rows of a fixture's array: flat [n, width], and nested by layer [n, layers, d]. */
  const arrayOf = async (id: Id, name: "x" | "z" | "y") => {
    const data = await matrix(join(FIXTURES, DICTIONARIES[id], `${name}.npy`));
    const width = data.length / 32;
    const flat = Array.from({ length: N }, (_, i) => [...data.subarray((10 + i) * width, (11 + i) * width)]);
    const nested = flat.map((row) => Array.from({ length: LAYERS }, (_, l) => row.slice(l * D, (l + 1) * D)));
    return { flat, nested };
  };

  it.each<[Id, object]>([
    ["crosscoder", { kind: "jumprelu", role: "crosscoder", encoders: ["own", "matching_pursuit", "orthogonal"] }],
    ["blocks", { kind: "jumprelu", role: "crosscoder", encoders: ["own"] }],
    ["clt", { kind: "jumprelu", role: "cross_layer_transcoder", encoders: ["own"] }],
    ["topk", { kind: "topk", role: "cross_layer_transcoder", default_budget: { max_atoms: 12 } }],
  ])("%s says its role, layers and widths", async (id, facts) => {
    const { body } = await call(`/v1/dictionaries/${id}`);
    expect(body).toMatchObject({ state: "ready", layers: LAYERS, d_in: LAYERS * D, d_out: LAYERS * D, ...facts });
  });

  it("says which atoms read and write which layers", async () => {
    const { body } = await call("/v1/dictionaries/topk");
    expect(body["blocks"]).toEqual([
      { from: 0, to: 12, layer: 0, writes: [0, 1, 2] },
      { from: 12, to: 24, layer: 1, writes: [1, 2] },
      { from: 24, to: 36, layer: 2, writes: [2] },
    ]);
  });

  it.each(Object.keys(DICTIONARIES) as Id[])(
    "%s encodes rows by layer or flattened, and decodes by layer, as its publisher does",
    async (id) => {
      const [x, z, y] = await Promise.all([arrayOf(id, "x"), arrayOf(id, "z"), arrayOf(id, "y")]);
      const ask = { budget: {}, format: "dense" };
      const [flat, nested] = await Promise.all([
        post(id, "encode", { inputs: x.flat, ...ask }),
        post(id, "encode", { inputs: x.nested, ...ask }),
      ]);
      expect([flat.status, nested.status]).toEqual([200, 200]);
      expect(nested.body).toEqual(flat.body);
      const codes = nested.body["codes"] as { values: number[] }[];
      for (const [i, { values }] of codes.entries())
        for (const [j, value] of values.entries()) expect(value).toBeCloseTo(z.flat[i]![j]!, 3);
      const beside = id === "clt" ? { inputs: x.nested } : {};
      const decoded = await post(id, "decode", { codes, ...beside });
      const outputs = decoded.body["outputs"] as number[][][];
      expect(outputs.map((row) => row.map((layer) => layer.length))).toEqual(
        Array.from({ length: N }, () => Array.from({ length: LAYERS }, () => D)),
      );
      for (const [i, row] of outputs.entries())
        for (const [c, value] of row.flat().entries()) expect(value).toBeCloseTo(y.flat[i]![c]!, 3);
    },
  );

  it("steers a crosscoder by layer, and leaves a row without an edit as it is", async () => {
    const x = await arrayOf("blocks", "x");
    const inputs = x.nested;
    const edits = [{ feature: 20, op: "add", value: 2 }];
    const { status, body } = await post("blocks", "steer", { inputs, edits, rows: [0] });
    expect(status).toBe(200);
    const outputs = body["outputs"] as number[][][];
    const floats = (row: number[][]): number[][] => row.map((layer) => layer.map(Math.fround));
    expect(floats(outputs[1]!)).toEqual(floats(inputs[1]!));
    const [with2, without] = await Promise.all(
      [2, 0].map((value) => post("blocks", "decode", { codes: [{ indices: [20], values: [value] }] })),
    );
    const atom = (with2!.body["outputs"] as number[][][])[0]!.map((layer, l) =>
      layer.map((value, c) => value - (without!.body["outputs"] as number[][][])[0]![l]![c]!),
    );
    for (const [l, layer] of outputs[0]!.entries())
      for (const [c, value] of layer.entries()) expect(value).toBeCloseTo(inputs[0]![l]![c]! + atom[l]![c]!, 3);
  });

  it("encodes a crosscoder by pursuit over its decoder", async () => {
    const { flat } = await arrayOf("crosscoder", "x");
    const { status, body } = await post("crosscoder", "encode", {
      inputs: flat,
      encoder: "matching_pursuit",
      budget: { max_atoms: 6 },
    });
    expect(status).toBe(200);
    for (const { relative_error: error } of body["codes"] as { relative_error: number }[])
      expect(error).toBeLessThan(1);
  });

  it("measures a cross-layer transcoder against targets by layer", async () => {
    const [x, y] = await Promise.all([arrayOf("clt", "x"), arrayOf("clt", "y")]);
    const { status, body } = await post("clt", "encode", { inputs: x.nested, targets: y.nested, budget: {} });
    expect(status).toBe(200);
    for (const { relative_error: error } of body["codes"] as { relative_error: number }[])
      expect(error).toBeLessThan(1e-3);
  });

  it("answers rows of a crosscoder as an array of three axes in safetensors", async () => {
    const answer = await fetch(`${server.base}/v1/dictionaries/blocks/decode`, {
      method: "POST",
      headers: { "content-type": "application/json", accept: "application/vnd.safetensors" },
      body: JSON.stringify({ codes: [{ indices: [3], values: [1] }] }),
    });
    const bytes = Buffer.from(await answer.arrayBuffer());
    const head = JSON.parse(bytes.toString("utf8", 8, 8 + Number(bytes.readBigUInt64LE())));
    expect(head.outputs.shape).toEqual([1, LAYERS, D]);
  });

  it("answers the Open Inference Protocol with rows flattened", async () => {
    const { flat } = await arrayOf("blocks", "x");
    const rows = { name: "rows", datatype: "FP32", shape: [N, LAYERS * D], data: flat.flat() };
    const { status, body } = await call("/v2/models/blocks/infer", { inputs: [rows] });
    expect(status).toBe(200);
    expect((body["outputs"] as { name: string }[]).map(({ name }) => name)).toContain("relative_error");
  });

  it.each<[string, Id, string, object, RegExp]>([
    [
      "steering a cross-layer transcoder",
      "clt",
      "steer",
      { edits: [{ feature: 0, op: "remove" }] },
      /is a cross_layer/,
    ],
    ["a pursuit over blocks", "blocks", "encode", { encoder: "orthogonal" }, /has blocks.*send "own"/],
    ["a pursuit over a transcoder", "clt", "encode", { encoder: "orthogonal" }, /another activation than the row/],
    ["a tolerance without targets", "clt", "encode", { budget: { tolerance: 0.1 } }, /Send targets/],
    [
      "targets of a crosscoder",
      "crosscoder",
      "encode",
      { targets: [[0]] },
      /role of dictionary crosscoder is crosscoder/,
    ],
  ])("refuses %s", async (_what, id, verb, body, said) => {
    const { flat } = await arrayOf(id, "x");
    const answer = await post(id, verb, { inputs: flat, ...body });
    expect([answer.status, answer.body["detail"]]).toEqual([422, expect.stringMatching(said)]);
  });

  it("refuses rows of one layer, and says which shapes it takes", async () => {
    const { nested } = await arrayOf("blocks", "x");
    const { status, body } = await post("blocks", "encode", { inputs: nested.map(([first]) => first) });
    expect([status, body["detail"]]).toEqual([
      422,
      "The rows are 8 wide; this dictionary takes rows of 24, or of 3 layers of 8: [n, 3, 8]. Check the model, layer and hook.",
    ]);
  });
});
