/** Answers of the routes to good requests, in the shapes of the OpenAPI document. */
import { Ajv } from "ajv";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { EncodeAnswerSchema } from "../../src/routes/v1/schemas.ts";
import { FORMATS } from "../../src/codecs/write-codes.ts";
import { type TestApp, testApp } from "../support/test-app.ts";

let test: TestApp;
beforeAll(async () => {
  test = await testApp();
});
afterAll(() => test.app.close());

const isDescribed = new Ajv({ strict: false }).compile(EncodeAnswerSchema);

/** The answer, which must be what openapi/openapi.json says it is. */
async function encode(payload: object): Promise<Record<string, unknown>> {
  const answer = await test.app.inject({ method: "POST", url: "/v1/dictionaries/small/encode", payload });
  expect(answer.statusCode, answer.body).toBe(200);
  expect(answer.headers["content-type"]).toMatch(/^application\/json/);
  const body = answer.json<Record<string, unknown>>();
  expect(isDescribed(body), JSON.stringify(isDescribed.errors)).toBe(true);
  return body;
}
const asked = () => test.engine.encodes.at(-1)!;

describe("POST …/encode", () => {
  it("asks for the rows under no budget, without trace or reconstruction, unless told otherwise", async () => {
    await encode({ inputs: [[1, 2]] });
    expect(asked()).toMatchObject({ id: "small", request: { budget: {}, trace: false, reconstruction: false } });
    expect(asked().request.rows).toMatchObject({ data: Float32Array.of(1, 2), count: 1, width: 2 });
    expect(asked().context.deadline).toBeUndefined();
  });

  it("hands budgets on in the engine's names, one for all or one per row", async () => {
    const wire = { max_atoms: 3, tolerance: 0.1, residual_norm: 0.2, min_gain: 0.3, group: 4 };
    const budget = { maxAtoms: 3, tolerance: 0.1, residualNorm: 0.2, minGain: 0.3, group: 4 };
    await encode({ inputs: [[1, 2]], budget: wire });
    expect(asked().request.budget).toEqual(budget);
    await encode({
      inputs: [
        [1, 2],
        [3, 4],
      ],
      budget: [wire, { max_atoms: 0 }],
    });
    expect(asked().request.budget).toEqual([budget, { maxAtoms: 0 }]);
  });

  it("turns timeout_ms into a deadline on the engine's clock, counted from the request's head", async () => {
    const before = test.engine.now();
    await encode({ inputs: [[1, 2]], timeout_ms: 5000 });
    const { deadline } = asked().context;
    expect(deadline).toBeGreaterThanOrEqual(before);
    expect(deadline).toBeLessThanOrEqual(test.engine.now() + 5000);
  });

  it("answers with each format, with and without all that can be included", async () => {
    const facts = { atoms: 1, steps: 1, residual_norm: 0.5, relative_error: 0.25, stop: "max_atoms" };
    const included = { trace: { indices: [0], values: [7], residual_norms: [0.5] }, reconstruction: [7, 0] };
    const head = { dictionary: "small", sha256: "ab".repeat(32) };
    const values = {
      sparse: { indices: [0], values: [7] },
      dense: { values: [7, 0, 0, 0] },
      map: { values: { 0: 7 } },
    };
    for (const format of FORMATS) {
      const plain = await encode({ inputs: [[7, 2]], format });
      const full = await encode({ inputs: [[7, 2]], format, include: ["reconstruction", "trace"] });
      if (format === "csr") {
        const columns = Object.fromEntries(Object.entries(facts).map(([name, value]) => [name, [value]]));
        const csr = { ...head, indptr: [0, 1], indices: [0], values: [7], shape: [1, 4], ...columns };
        expect(plain).toEqual(csr);
        expect(full).toEqual({ ...csr, trace: [included.trace], reconstruction: [included.reconstruction] });
      } else {
        expect(plain).toEqual({ ...head, codes: [{ ...values[format], ...facts }] });
        expect(full).toEqual({ ...head, codes: [{ ...values[format], ...facts, ...included }] });
      }
    }
  });

  it("flattens [batch, seq, d], and echoes its shape beside the flat codes", async () => {
    const answer = await encode({
      inputs: [
        [
          [1, 0],
          [2, 0],
          [3, 0],
        ],
        [
          [4, 0],
          [5, 0],
          [6, 0],
        ],
      ],
    });
    expect(answer["shape"]).toEqual([2, 3, 2]);
    expect(answer["codes"]).toMatchObject([1, 2, 3, 4, 5, 6].map((value) => ({ values: [value] })));
    expect(asked().request.rows.count).toBe(6);
    const data = Buffer.from(Float32Array.of(1, 0, 2, 0).buffer).toString("base64");
    expect(await encode({ inputs: { data, dtype: "float32", shape: [1, 1, 2, 2] } })).toHaveProperty(
      "shape",
      [1, 1, 2, 2],
    );
    expect(await encode({ inputs: { data, dtype: "float32", shape: [2, 2] } })).not.toHaveProperty("shape");
  });

  it("reports explained variance and mean atoms of a batch where its summary is asked for", async () => {
    // Mean (3, 0): the rows vary by 8, and the engine says that 2 · 0.5² is left.
    const inputs = [
      [1, 0],
      [5, 0],
    ];
    for (const format of FORMATS) {
      const answer = await encode({ inputs, format, include: ["summary"] });
      expect(answer).toMatchObject({ mean_atoms: 1, explained_variance: 1 - 0.5 / 8 });
      const plain = await encode({ inputs, format });
      expect([plain["mean_atoms"], plain["explained_variance"]]).toEqual([undefined, undefined]);
    }
  });

  it("prints the shortest decimals of its float32 values", async () => {
    const answer = await test.app.inject({
      method: "POST",
      url: "/v1/dictionaries/small/encode",
      payload: { inputs: [[0.1, 0]] },
    });
    expect(answer.body).toContain('"values":[0.1]');
  });

  it("tells its stages in server-timing, in milliseconds", async () => {
    const answer = await test.app.inject({
      method: "POST",
      url: "/v1/dictionaries/small/encode",
      payload: { inputs: [[1, 2]] },
    });
    const stages = String(answer.headers["server-timing"]).split(", ");
    expect(stages.map((stage) => stage.split(";")[0])).toEqual(["decode", "queue", "encode", "write", "total"]);
    for (const stage of stages) expect(stage).toMatch(/^\w+;dur=\d+\.\d{3}$/);
    expect(stages.slice(1, 3)).toEqual(["queue;dur=1.500", "encode;dur=2.250"]);
  });
});

describe("POST …/decode", () => {
  it("tells its stages", async () => {
    test.stages.length = 0;
    const payload = { codes: [{ indices: [0], values: [1] }] };
    const answer = await test.app.inject({ method: "POST", url: "/v1/dictionaries/small/decode", payload });
    expect(answer.headers["server-timing"]).toMatch(/^decode;dur=[\d.]+, write;dur=[\d.]+, total;dur=[\d.]+$/);
    expect(test.stages).toEqual(["decode", "write"]);
  });

  it("answers rows of d numbers, and takes codes as encode answered them", async () => {
    const { codes } = await encode({
      inputs: [
        [7, 2],
        [8, 1],
      ],
    });
    const answer = await test.app.inject({ method: "POST", url: "/v1/dictionaries/small/decode", payload: { codes } });
    expect(answer.json()).toEqual({
      outputs: [
        [0.1, 0.1],
        [0.1, 0.1],
      ],
    });
    expect(test.engine.decodes.at(-1)).toEqual({
      count: 2,
      indptr: Uint32Array.of(0, 1, 2),
      indices: Uint32Array.of(0, 0),
      values: Float32Array.of(7, 8),
    });
  });
});

describe("GET /v1/dictionaries", () => {
  it("lists all, broken ones with their faults, in snake_case", async () => {
    const { dictionaries } = (await test.app.inject("/v1/dictionaries")).json<{ dictionaries: object[] }>();
    expect(dictionaries).toEqual([
      {
        id: "small",
        state: "ready",
        kind: "matching_pursuit",
        role: "autoencoder",
        d: 2,
        d_in: 2,
        d_out: 2,
        m: 4,
        encoder: {
          score: "relu",
          reselect: "add",
          center: false,
          residual_threshold: 0,
          max_atoms: null,
          input_norm: "none",
        },
        encoders: ["own", "matching_pursuit", "orthogonal"],
        max_atoms: 64,
        runtime: "cpu",
        path: "gram",
        sha256: "ab".repeat(32),
        labels: false,
        coherence: { max_cosine: 0.5, min_norm: 1, max_norm: 1.5 },
        warnings: ["It is small."],
        faults: [],
        provenance: { data: "made for a test" },
      },
      {
        id: "broken",
        state: "failed",
        labels: false,
        warnings: [],
        faults: ["atoms: one is zero.", "center is missing."],
      },
    ]);
    expect((await test.app.inject("/v1/dictionaries/small")).json()).toEqual(dictionaries[0]);
  });
});

describe("operations", () => {
  it("are metrics as text, a page, a description of every route, and a way from / to the page", async () => {
    const metrics = await test.app.inject("/metrics");
    expect([metrics.body, metrics.headers["content-type"]]).toEqual([
      "pursuit_up 1\n",
      expect.stringMatching(/^text\/plain/),
    ]);
    const page = await test.app.inject("/docs");
    expect([page.statusCode, page.headers["content-type"]]).toEqual([200, expect.stringMatching(/^text\/html/)]);
    const home = await test.app.inject("/");
    expect([home.statusCode, home.headers["location"]]).toEqual([302, "docs"]);
    const { openapi, paths } = (await test.app.inject("/openapi.json")).json<{ openapi: string; paths: object }>();
    expect(openapi).toMatch(/^3\.1/);
    expect(Object.keys(paths).toSorted()).toEqual([
      "/health/live",
      "/health/ready",
      "/metrics",
      "/v1/dictionaries",
      "/v1/dictionaries/{id}",
      "/v1/dictionaries/{id}/contrast",
      "/v1/dictionaries/{id}/decode",
      "/v1/dictionaries/{id}/encode",
      "/v1/dictionaries/{id}/examples",
      "/v1/dictionaries/{id}/features",
      "/v1/dictionaries/{id}/features/search",
      "/v1/dictionaries/{id}/features/{index}",
      "/v1/dictionaries/{id}/features/{index}/label",
      "/v1/dictionaries/{id}/map",
      "/v1/dictionaries/{id}/steer",
      "/v1/dictionaries/{id}/steering",
      "/v1/dictionaries/{id}/steering/{name}",
      "/v1/transfer",
      "/v2/",
      "/v2/health/live",
      "/v2/health/ready",
      "/v2/models",
      "/v2/models/stats",
      "/v2/models/{model}",
      "/v2/models/{model}/config",
      "/v2/models/{model}/infer",
      "/v2/models/{model}/ready",
      "/v2/models/{model}/stats",
      "/v2/repository/index",
      "/v2/repository/models/{name}/load",
      "/v2/repository/models/{name}/unload",
    ]);
  });
});
