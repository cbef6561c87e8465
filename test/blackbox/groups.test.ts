/** Nested widths over a socket: the same rule on every route that takes a budget, and in decode. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { OnePassWeights } from "../../src/engine/encoders/one-pass.ts";
import { writeDictionary } from "../../src/engine/dictionaries/importing/write-dictionary.ts";
import type { JumpReluSettings } from "../../src/engine/encoders/jumprelu.ts";
import { type Encoded, get, post } from "../support/client.ts";
import { callCli } from "../support/call-cli.ts";
import { type RunningServer, startServer } from "../support/running-server.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

const D = 6;
/** Each axis is an atom that fires from 0.5 on, so the code of this row has every atom. */
const ROW = [6, 5, 4, 3, 2, 1];
const AXES = Float32Array.from({ length: D * D }, (_, i) => Number(i % (D + 1) === 0));
const WEIGHTS: OnePassWeights<JumpReluSettings> = {
  kind: "jumprelu",
  role: "autoencoder",
  dIn: D,
  d: D,
  m: D,
  atoms: AXES,
  center: null,
  settings: { center: false, subtractCenter: false, inputNorm: "none", comparison: "strict" },
  tensors: { encoder_weight: AXES, encoder_bias: new Float32Array(D), threshold: new Float32Array(D).fill(0.5) },
};
const PATH = "/v1/dictionaries/nested";
const models = temporaryFolder();

describe("a dictionary with groups", () => {
  let server: RunningServer;
  beforeAll(async () => {
    const read = { source: "a test", weights: WEIGHTS, origins: {}, notes: [], provenance: {} };
    const write = (id: string, more: object) =>
      writeDictionary({ ...read, ...more }, { modelsDir: models, id, force: false });
    await write("nested", { groups: [2, 4, 6] });
    await write("defaulted", { groups: [2, 4, 6], defaultBudget: { group: 4 } });
    await write("whole", {});
    server = await startServer(models, temporaryFolder());
  });
  afterAll(async () => {
    expect(await server.stop()).toBe(0);
  });
  const send = async (path: string, body: object): Promise<{ status: number; body: Record<string, unknown> }> => {
    const answer = await fetch(server.base + path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
  };
  const atomsOf = ({ codes }: Encoded): number[][] => codes.map(({ indices }) => indices);

  it("says its widths, which belong to its version", async () => {
    const nested = await get<{ groups: number[]; sha256: string }>(server.base, PATH);
    const whole = await get<{ sha256: string }>(server.base, "/v1/dictionaries/whole");
    expect(nested.groups).toEqual([2, 4, 6]);
    expect(whole).not.toHaveProperty("groups");
    expect(nested.sha256).not.toBe(whole.sha256);
  });

  it("encodes with the first atoms alone, per request and per row, and measures what those leave", async () => {
    const budget = [{ group: 2 }, { group: 4 }, {}, { group: 4, max_atoms: 3 }];
    const encoded = await post<Encoded>(server.base, `${PATH}/encode`, {
      inputs: [ROW, ROW, ROW, ROW],
      budget,
      include: ["reconstruction"],
    });
    expect(atomsOf(encoded)).toEqual([
      [0, 1],
      [0, 1, 2, 3],
      [0, 1, 2, 3, 4, 5],
      [0, 1, 2],
    ]);
    expect(encoded.codes[0]!.reconstruction).toEqual([6, 5, 0, 0, 0, 0]);
    expect(encoded.codes[0]!.residual_norm).toBeCloseTo(Math.hypot(4, 3, 2, 1), 5);
    expect(encoded.codes.map(({ stop }) => stop)).toEqual(["active_end", "active_end", "max_atoms", "max_atoms"]);
  });

  it("may have a group in its default budget, which any budget replaces", async () => {
    const path = "/v1/dictionaries/defaulted/encode";
    expect(atomsOf(await post(server.base, path, { inputs: [ROW] }))[0]).toHaveLength(4);
    expect(atomsOf(await post(server.base, path, { inputs: [ROW], budget: {} }))[0]).toHaveLength(6);
  });

  it("decodes with the first atoms alone", async () => {
    const codes = [{ indices: [5, 1, 2], values: [1, 2, 3] }];
    const decode = (group?: number) =>
      post<{ outputs: number[][] }>(server.base, `${PATH}/decode`, { codes, ...(group !== undefined && { group }) });
    expect((await decode()).outputs).toEqual([[0, 2, 3, 0, 0, 1]]);
    expect((await decode(4)).outputs).toEqual([[0, 2, 3, 0, 0, 0]]);
    expect((await decode(2)).outputs).toEqual([[0, 2, 0, 0, 0, 0]]);
  });

  it("lists its widths where another is asked for, and says where there are none", async () => {
    const wrong = /groups are 2, 4, 6/;
    const budgets = [{ group: 3 }, [{ group: 2 }, { group: 3 }]];
    for (const budget of budgets) {
      const { status, body } = await send(`${PATH}/encode`, { inputs: [ROW, ROW], budget });
      expect([status, body["code"]]).toEqual([422, "PURSUIT_BUDGET_OUT_OF_RANGE"]);
      expect(body["detail"]).toMatch(wrong);
    }
    const decoded = await send(`${PATH}/decode`, { codes: [{ indices: [], values: [] }], group: 3 });
    expect([decoded.status, decoded.body["code"]]).toEqual([422, "PURSUIT_BUDGET_OUT_OF_RANGE"]);
    expect(decoded.body["detail"]).toMatch(wrong);
    const none = await send("/v1/dictionaries/whole/encode", { inputs: [ROW], budget: { group: 2 } });
    expect([none.status, none.body["detail"]]).toEqual([422, expect.stringMatching(/no groups/)]);
  });

  it("edits the code of the first atoms", async () => {
    const edits = ROW.map((_, feature) => ({ feature, op: "remove" }));
    const { changes } = await post<{ changes: { edits: { before: number }[] }[] }>(server.base, `${PATH}/steer`, {
      inputs: [ROW],
      edits,
      include: ["effect"],
      budget: { group: 4 },
    });
    expect(changes[0]!.edits.filter(({ before }) => before !== 0)).toHaveLength(4);
  });

  it("carries the code of the first atoms to another dictionary", async () => {
    const body = { from: "nested", to: "whole", inputs: [ROW], encoder: "own", budget: { group: 2 } };
    const { outputs } = await post<{ outputs: number[][] }>(server.base, "/v1/transfer", body);
    expect(outputs).toEqual([[6, 5, 0, 0, 0, 0]]);
  });

  it("takes a group in the query of bytes, in lines and in /v2", async () => {
    const bytes = await fetch(`${server.base}${PATH}/encode?dtype=float32&rows=1&group=4`, {
      method: "POST",
      headers: { "content-type": "application/octet-stream", accept: "application/json" },
      body: Float32Array.from(ROW),
    });
    expect(atomsOf((await bytes.json()) as Encoded)[0]).toHaveLength(4);
    const lines = await fetch(`${server.base}${PATH}/encode?group=4`, {
      method: "POST",
      headers: { "content-type": "application/x-ndjson" },
      body: [
        ROW,
        { input: ROW, budget: { group: 2 } },
        { input: ROW, budget: { group: 3 } },
        { input: ROW, budget: {} },
      ]
        .map((line) => `${JSON.stringify(line)}\n`)
        .join(""),
    });
    const answers = (await lines.text())
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as object);
    expect(answers).toMatchObject([
      { atoms: 4 },
      { atoms: 2 },
      { error: { status: 422, detail: expect.stringMatching(/groups are 2, 4, 6/) }, line: 3 },
      { atoms: 6 },
    ]);
    const rows = { name: "rows", datatype: "FP32", shape: [1, D], data: ROW };
    const inferred = await post<{ outputs: { name: string; data: number[] }[] }>(
      server.base,
      "/v2/models/nested/infer",
      { inputs: [rows], parameters: { group: 2 } },
    );
    expect(inferred.outputs.find(({ name }) => name === "atoms")!.data).toEqual([2]);
  });

  it("is encoded with a group by the command, too", async () => {
    const { stdout } = await callCli(["encode", "--help"]);
    expect(stdout).toMatch(/--group <n>/);
  });
});
