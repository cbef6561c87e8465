/** The built server: pursuit over the decoder of dictionaries with other encoders, in every form of request. */
import { unpack } from "msgpackr";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { itInFull } from "../support/full.ts";
import { writeDictionary } from "../../src/engine/dictionaries/importing/write-dictionary.ts";
import type { DictionaryWeights } from "../../src/engine/core/dictionary-weights.ts";
import type { DictionaryWire } from "../../src/routes/v1/dictionary-schemas.ts";
import { type Code, type Encoded, get, post } from "../support/client.ts";
import { oraclePursuit } from "../support/oracle.ts";
import { type RunningServer, runtimeOf, startServer } from "../support/running-server.ts";
import { normals, randomAtoms } from "../support/seeded.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";
import { skipTranscoder } from "../support/transcoder.ts";
import { until } from "../support/until.ts";
import { readSafetensors } from "../support/wire-answers.ts";

const [D, M, K] = [16, 64, 4];
const MP = { kind: "matching_pursuit", score: "relu", reselect: "add" };
const rows = Array.from({ length: 5 }, (_, i) => [...normals(D, 50 + i)]);

/** Atoms of many norms, the first of them zero. */
const unit = randomAtoms(M, D, 1);
const norms = Array.from({ length: M }, (_, j) => (j === 0 ? 0 : 0.25 + j / 16));
const atoms = unit.map((value, at) => value * norms[Math.floor(at / D)]!);
const center = normals(D, 2);

const tensors = { encoder_weight: randomAtoms(M, D, 3), encoder_bias: new Float32Array(M) };
const common = { center: true, subtractCenter: false, inputNorm: "none" } as const;
const topk: DictionaryWeights = {
  kind: "topk",
  role: "autoencoder",
  dIn: D,
  d: D,
  m: M,
  atoms,
  center,
  settings: { ...common, k: K } as DictionaryWeights["settings"],
  tensors,
};
const jumprelu: DictionaryWeights = {
  ...topk,
  kind: "jumprelu",
  settings: { ...common, comparison: "strict" } as DictionaryWeights["settings"],
  tensors: { ...tensors, threshold: new Float32Array(M) },
};

/** A busy machine takes long to start a process; only the test of that wait should see it end. */
const PATIENT = { PURSUIT_MAX_WAIT_MS: "600000" };

const models = temporaryFolder();
let server: RunningServer;
beforeAll(async () => {
  const dictionaries = { topk, jumprelu, coder: skipTranscoder(D, D, 8) };
  for (const [id, weights] of Object.entries(dictionaries)) {
    const understood = { source: "a test", weights, origins: {}, notes: [], provenance: {} };
    await writeDictionary(understood, { modelsDir: models, id, force: false });
  }
  server = await startServer(models, temporaryFolder(), PATIENT);
}, 60_000);
afterAll(() => server.stop());

type Answer = Encoded & { readonly encoder?: object };
const encode = (id: string, fields: object): Promise<Answer> =>
  post(server.base, `/v1/dictionaries/${id}/encode`, { inputs: rows, ...fields });

async function problem(path: string, body: object): Promise<{ status: number; code: string; detail: string }> {
  const answer = await fetch(server.base + path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  const { code, detail } = (await answer.json()) as { code: string; detail: string };
  return { status: answer.status, code, detail };
}

/** Codes by the oracle over unit atoms, in the dictionary's own scale. */
function oracleOf(row: readonly number[], maxAtoms: number) {
  const settings = { ...common, score: "relu", reselect: "add", residualThreshold: 0, maxAtoms: null } as const;
  const weights = {
    kind: "matching_pursuit",
    d: D,
    m: M,
    atoms: unit.map((v, at) => (at < D ? 0 : v)),
    center,
    settings,
  } as const;
  const { indices, values } = oraclePursuit(Float32Array.from(row), weights, { maxAtoms });
  return { indices: [...indices], values: values.map((value, k) => value / norms[indices[k]!]!) };
}

function expectOracle(code: Pick<Code, "trace">, row: readonly number[], maxAtoms: number): void {
  const { indices, values } = oracleOf(row, maxAtoms);
  expect(code.trace!.indices).toEqual(indices);
  for (const [k, value] of values.entries()) expect(code.trace!.values[k]! / value).toBeCloseTo(1, 4);
}

describe("encoder matching_pursuit on a topk dictionary", () => {
  it("is listed, and gives the oracle's codes in the dictionary's own scale", async () => {
    const { encoders } = await get<DictionaryWire>(server.base, "/v1/dictionaries/topk");
    expect(encoders).toEqual(["own", "matching_pursuit", "orthogonal"]);
    const answer = await encode("topk", {
      encoder: "matching_pursuit",
      budget: { max_atoms: 6 },
      include: ["trace", "reconstruction"],
    });
    expect(answer.encoder).toEqual(MP);
    for (const [i, code] of answer.codes.entries()) expectOracle(code, rows[i]!, 6);
    // Decode takes the answer back whole.
    const { outputs } = await post<{ outputs: number[][] }>(server.base, "/v1/dictionaries/topk/decode", answer);
    for (const [i, { reconstruction, residual_norm: left }] of answer.codes.entries()) {
      for (const [c, value] of outputs[i]!.entries()) expect(reconstruction![c]).toBeCloseTo(value, 4);
      expect(Math.hypot(...outputs[i]!.map((value, c) => value - rows[i]![c]!)) / left).toBeCloseTo(1, 4);
    }
  });

  it("is the same code in every form of request, and each answer names what made it", async () => {
    const path = `${server.base}/v1/dictionaries/topk/encode`;
    const expected = await encode("topk", { encoder: "matching_pursuit", budget: { max_atoms: 3 } });
    const asked = { encoder: '{"kind":"matching_pursuit"}', max_atoms: "3", format: "sparse" };
    const bytes = Buffer.from(Float32Array.from(rows.flat()).buffer);
    const send = (accept: string): Promise<Response> =>
      fetch(`${path}?${new URLSearchParams({ dtype: "float32", rows: "5", ...asked }).toString()}`, {
        method: "POST",
        headers: { "content-type": "application/octet-stream", accept },
        body: bytes,
      });
    expect(await (await send("application/json")).json()).toEqual(expected);
    const packed = unpack(Buffer.from(await (await send("application/msgpack")).arrayBuffer())) as Answer;
    expect(packed.encoder).toEqual(MP);
    expect(packed.codes.map(({ steps }) => steps)).toEqual(expected.codes.map(({ steps }) => steps));
    const { metadata, tensors: columns } = readSafetensors(
      new Uint8Array(await (await send("application/vnd.safetensors")).arrayBuffer()),
    );
    expect(JSON.parse(metadata["encoder"]!)).toEqual(MP);
    expect(columns["indices"]!.data).toEqual(expected.codes.flatMap(({ indices }) => indices));

    const lines = async (query: string, body: readonly object[]): Promise<(Code & { encoder?: object })[]> => {
      const answer = await fetch(path + query, {
        method: "POST",
        headers: { "content-type": "application/x-ndjson" },
        body: body.map((line) => `${JSON.stringify(line)}\n`).join(""),
      });
      return (await answer.text())
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line) as Code);
    };
    const named = expected.codes.map((code) => ({ ...code, encoder: MP }));
    expect(await lines("?encoder=matching_pursuit&max_atoms=3", rows)).toEqual(named);
    const own = await encode("topk", { budget: { max_atoms: 3 } });
    // Each line may name its own, and those between go by the query's.
    const mixed = rows.map((input, i) => (i % 2 === 0 ? { input } : { input, encoder: "own" }));
    expect(await lines("?encoder=matching_pursuit&max_atoms=3", mixed)).toEqual(
      named.map((code, i) => (i % 2 === 0 ? code : own.codes[i])),
    );
    const wrong = await lines("?max_atoms=3", [{ input: rows[0], encoder: "omp" }, { input: rows[0] }]);
    expect(wrong).toMatchObject([{ error: { code: "PURSUIT_INVALID_FIELD" } }, own.codes[0]]);

    const inferred = await post<{ parameters: object; outputs: { name: string; data: number[] }[] }>(
      server.base,
      "/v2/models/topk/infer",
      {
        parameters: { encoder: "matching_pursuit", max_atoms: 3 },
        inputs: [{ name: "rows", datatype: "FP32", shape: [5, D], data: rows.flat() }],
      },
    );
    expect(inferred.parameters).toEqual({ encoder: "matching_pursuit", score: "relu", reselect: "add" });
    expect(inferred.outputs.find(({ name }) => name === "atoms")!.data).toEqual(
      expected.codes.map(({ atoms: active }) => active),
    );
  });

  it("takes k atoms where the request has no budget, and its own encoder stays as it was", async () => {
    const own = await encode("topk", {});
    expect(own).not.toHaveProperty("encoder");
    const pursued = await encode("topk", { encoder: "matching_pursuit" });
    expect(pursued.codes.map(({ steps }) => steps)).toEqual(rows.map(() => K));
    // Over the same decoder it explains more with as many atoms.
    for (const [i, code] of pursued.codes.entries())
      expect(code.relative_error).toBeLessThan(own.codes[i]!.relative_error);
    expect(await encode("topk", { encoder: "own" })).toEqual(own);
  });

  it("solves again for all coefficients where it is orthogonal", async () => {
    const budget = { max_atoms: 5 };
    const plain = await encode("topk", { encoder: { kind: "matching_pursuit", reselect: "forbid" }, budget });
    const solved = await encode("topk", { encoder: { kind: "orthogonal", score: "absolute" }, budget });
    expect(solved.encoder).toEqual({ kind: "orthogonal", score: "absolute" });
    for (const [i, code] of solved.codes.entries())
      expect(code.residual_norm).toBeLessThan(plain.codes[i]!.residual_norm);
  });

  it("answers requests of many encoders that come at once, each its own", async () => {
    const encoders = [
      "own",
      "matching_pursuit",
      "orthogonal",
      { kind: "matching_pursuit", score: "absolute" },
      { kind: "matching_pursuit", score: "absolute", reselect: "stop" },
    ];
    const ask = (i: number): Promise<Answer> =>
      encode("topk", { encoder: encoders[i % encoders.length], budget: { max_atoms: 6 } });
    const alone = [];
    for (const i of encoders.keys()) alone.push(await ask(i));
    const many = await Promise.all(Array.from({ length: 30 }, (_, i) => ask(i)));
    for (const [i, answer] of many.entries()) expect(answer).toEqual(alone[i % encoders.length]);
  });

  it("edits by the codes of the encoder that steer names", async () => {
    const { codes } = await encode("topk", { encoder: "matching_pursuit", budget: { max_atoms: 3 } });
    const feature = codes[0]!.indices[0]!;
    const steered = await post<{ outputs: number[][]; encoder: object }>(server.base, "/v1/dictionaries/topk/steer", {
      inputs: [rows[0]],
      edits: [{ feature, op: "remove" }],
      encoder: "matching_pursuit",
      budget: { max_atoms: 3 },
    });
    expect(steered.encoder).toEqual(MP);
    for (const [c, value] of steered.outputs[0]!.entries()) {
      expect(value).toBeCloseTo(rows[0]![c]! - codes[0]!.values[0]! * atoms[feature * D + c]!, 4);
    }
  });

  it("carries rows to another dictionary, by orthogonal pursuit unless told otherwise", async () => {
    const body = { from: "topk", to: "jumprelu", inputs: rows };
    type Transferred = { readonly from: Answer; readonly outputs: number[][] };
    const transferred = await post<Transferred>(server.base, "/v1/transfer", body);
    expect(transferred.from.encoder).toEqual({ kind: "orthogonal", score: "relu" });
    expect(transferred.from.codes).toEqual((await encode("topk", { encoder: "orthogonal" })).codes);
    const plain = await post<Transferred>(server.base, "/v1/transfer", { ...body, encoder: "matching_pursuit" });
    expect(plain.from.encoder).toEqual(MP);
  });

  it("is counted by its name", async () => {
    const text = await (await fetch(`${server.base}/metrics`)).text();
    for (const encoder of ["own", "matching_pursuit", "orthogonal"]) {
      expect(text).toMatch(new RegExp(`pursuit_rows_total\\{dictionary="topk",encoder="${encoder}"\\} \\d`));
      expect(text).toContain(`pursuit_atoms_per_row_count{dictionary="topk",encoder="${encoder}"}`);
    }
  });
});

describe("encoder matching_pursuit is refused", () => {
  it("on a transcoder, with the reason and what to do", async () => {
    for (const path of ["/v1/dictionaries/coder/encode"]) {
      for (const encoder of ["matching_pursuit", "orthogonal"]) {
        const refused = await problem(path, { inputs: rows, encoder, budget: { max_atoms: 2 } });
        expect(refused).toMatchObject({ status: 422, code: "PURSUIT_ENCODER_UNAVAILABLE" });
        expect(refused.detail).toMatch(/coder is a transcoder.*another activation.*Leave encoder out/);
      }
    }
    expect((await get<DictionaryWire>(server.base, "/v1/dictionaries/coder")).encoders).toEqual(["own"]);
  });

  it("without a budget where the dictionary has no k and no default_budget", async () => {
    for (const path of ["/v1/dictionaries/jumprelu/encode", "/v1/dictionaries/jumprelu/steer"]) {
      const refused = await problem(path, {
        inputs: rows,
        encoder: "matching_pursuit",
        edits: path.endsWith("steer") ? [{ feature: 1, op: "remove" }] : undefined,
      });
      expect(refused).toMatchObject({ status: 422, code: "PURSUIT_BUDGET_OUT_OF_RANGE" });
      expect(refused.detail).toMatch(/^budget is missing: .* such as \{"max_atoms": 32\}/);
    }
    expect((await encode("jumprelu", { encoder: "matching_pursuit", budget: { tolerance: 0.5 } })).codes[0]!.stop).toBe(
      "tolerance",
    );
  });

  it.each([
    ["omp", /^encoder must be own, matching_pursuit, orthogonal or an object/],
    [{ kind: "orthogonal", score: "signed" }, /^encoder\.score of orthogonal/],
    [{ kind: "matching_pursuit", steps: 4 }, /^encoder has no field "steps"/],
  ])("as %j, in words", async (encoder, detail) => {
    for (const path of ["/v1/dictionaries/topk/encode", "/v1/dictionaries/topk/steer", "/v1/transfer"]) {
      const body = { inputs: rows, encoder, ...(path === "/v1/transfer" && { from: "topk", to: "topk" }) };
      const edits = path.endsWith("steer") ? { edits: [{ feature: 1, op: "remove" }] } : {};
      expect(await problem(path, { ...body, ...edits })).toMatchObject({
        status: 422,
        code: "PURSUIT_INVALID_FIELD",
        detail: expect.stringMatching(detail),
      });
    }
  });
});

describe("the process of a pursuit over a decoder", () => {
  it("ends without harm to the dictionary's own encoder, and is started anew", async () => {
    const ask = (encoder: string): Promise<Answer> => encode("topk", { encoder, budget: { max_atoms: 3 } });
    const expected = { own: await ask("own"), pursued: await ask("matching_pursuit") };
    const pid = await runtimeOf(server, "topk (pursuit)");
    const ownPid = await runtimeOf(server, "topk");
    process.kill(pid, "SIGSTOP");
    const waiting = ask("matching_pursuit");
    for (let i = 0; i < 3; i++) expect(await ask("own")).toEqual(expected.own);
    process.kill(pid, "SIGKILL");
    expect(await waiting).toEqual(expected.pursued);
    await until(() => !server.runtimes().includes(pid));
    expect(server.runtimes()).toContain(ownPid);
    expect(await ask("own")).toEqual(expected.own);
  });

  itInFull("is told of with 503 and retry-after to a request whose time is over first", async () => {
    const fresh = await startServer(models, temporaryFolder(), PATIENT);
    const ask = (fields: object): Promise<Response> =>
      fetch(`${fresh.base}/v1/dictionaries/topk/encode`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ inputs: rows, encoder: "matching_pursuit", ...fields }),
      });
    const early = await ask({ timeout_ms: 1 });
    expect([early.status, await early.json()]).toEqual([
      503,
      expect.objectContaining({
        code: "PURSUIT_NOT_READY",
        detail: expect.stringMatching(/pursuit over the decoder of topk is being made/),
      }),
    ]);
    expect(Number(early.headers.get("retry-after"))).toBeGreaterThan(0);
    expect((await ask({})).status).toBe(200);
    expect(await fresh.stop()).toBe(0);
  });

  itInFull("is refused with both numbers where it does not fit, and the own encoder goes on", async () => {
    const MiB = 2 ** 20;
    const alone = temporaryFolder();
    const understood = { source: "a test", weights: topk, origins: {}, notes: [], provenance: {} };
    await writeDictionary(understood, { modelsDir: alone, id: "topk", force: false });
    // The server and its bodies have 129 MiB, the dictionary itself about 65: for the pursuit's 65 nothing is left.
    const small = await startServer(alone, temporaryFolder(), {
      PURSUIT_MEMORY_LIMIT: String((129 + 70) * MiB),
      PURSUIT_MAX_BYTES_IN_FLIGHT: String(MiB),
    });
    const path = "/v1/dictionaries/topk/encode";
    const answer = await fetch(small.base + path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ inputs: rows, encoder: "matching_pursuit" }),
    });
    expect([answer.status, await answer.json()]).toEqual([
      507,
      expect.objectContaining({
        code: "PURSUIT_MEMORY_FULL",
        detail: expect.stringMatching(
          /^encoder: The pursuit over the decoder of topk needs 65 MiB of memory; of the 199 MiB .* \d+ MiB are free\. Unload another/,
        ),
      }),
    ]);
    expect((await post<Answer>(small.base, path, { inputs: rows })).codes).toHaveLength(rows.length);
    expect(await small.stop()).toBe(0);
  });
});
