/** Features over HTTP: listed, searched, shown; the map and the examples. */
import { Ajv } from "ajv";
import type { TSchema } from "typebox";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  ExamplesSchema,
  FeaturePageSchema,
  FeatureSchema,
  FoundFeaturesSchema,
} from "../../src/routes/v1/feature-schemas.ts";
import { npyBytes } from "../support/npy-bytes.ts";
import { type TestApp, testApp } from "../support/test-app.ts";

const PATH = "/v1/dictionaries/small";

let test: TestApp;
beforeAll(async () => {
  test = await testApp();
});
beforeEach(() => {
  test.engine.labelled = true;
});
afterAll(() => test.app.close());

const get = (path: string, headers = {}) => test.app.inject({ method: "GET", url: `${PATH}${path}`, headers });
const search = (payload: object) => test.app.inject({ method: "POST", url: `${PATH}/features/search`, payload });

const ajv = new Ajv({ strict: false });

/** Checks an answer against the schema that the document gives it, without fields beside it. */
function expectDescribed(schema: TSchema, answer: object): void {
  expect([ajv.validate(schema, answer), ajv.errors]).toEqual([true, null]);
  const { properties } = schema as unknown as { properties: object };
  expect(Object.keys(properties)).toEqual(expect.arrayContaining(Object.keys(answer)));
}

describe("a list of features", () => {
  it("comes page by page", async () => {
    const first = (await get("/features?limit=3")).json<{ next: string; features: object[] }>();
    expectDescribed(FeaturePageSchema, first);
    expect(first).toEqual({
      features: [
        { index: 0, label: "the first", label_source: "tests", label_score: 0.5, norm: 1.25, rate: 0.01 },
        { index: 1, norm: 1.25 },
        { index: 2, norm: 1.25 },
      ],
      total: 4,
      next: "3",
    });
    expect((await get(`/features?limit=3&after=${first.next}`)).json()).toEqual({
      features: [{ index: 3, norm: 1.25 }],
      total: 4,
    });
  });

  it("holds what a search finds, with its relevance", async () => {
    expect((await get("/features?query=blue%20bird&limit=5")).json()).toMatchObject({
      features: [{ index: 0, relevance: 2 }],
      total: 1,
    });
    expect((await search({ query: "bird", n: 5 })).json()).toMatchObject({ features: [{ index: 0, relevance: 2 }] });
  });

  it("cannot be searched where there are no words", async () => {
    test.engine.labelled = false;
    for (const answer of [await get("/features?query=a"), await search({ query: "a" })])
      expect(answer.json()).toMatchObject({ status: 404, code: "PURSUIT_NO_LABELS" });
    expect((await get("/features")).statusCode).toBe(200);
  });

  it.each([
    ["?query=", "query must NOT have fewer than 1 characters."],
    ["?limit=0", "limit must be an integer from 1 to 1000."],
    ["?query=a&limit=05", "limit must be an integer from 1 to 1000."],
    ["?query=a&limit=1e3", "limit must be an integer from 1 to 1000."],
    ["?query=a&limit=1001", "limit must be an integer from 1 to 1000."],
    ["?after=-1", "after must be `next` of a page."],
    ["?after=1234567890", "after must be `next` of a page."],
    ["?sort=colour", "sort must be equal to one of the allowed values"],
    ["?order=up", "order must be equal to one of the allowed values"],
    ["?query=a&page=2", "There is no field page; see /docs"],
    ["?query=a&limits=2", "There is no field limits; did you mean limit?"],
  ])("is not given for %j", async (query, detail) => {
    expect((await get(`/features${query}`)).json()).toMatchObject({
      status: 422,
      code: "PURSUIT_INVALID_FIELD",
      detail: expect.stringContaining(detail),
    });
  });
});

describe("one feature", () => {
  it("is answered with the labels of its neighbours", async () => {
    const answer = (await get("/features/0")).json<object>();
    expectDescribed(FeatureSchema, answer);
    expect(answer).toEqual({
      index: 0,
      label: "the first",
      label_source: "tests",
      score: 0.5,
      norm: 1.25,
      labels: [{ text: "the first", source: "tests", score: 0.5 }],
      neighbours: [
        { index: 3, cosine: 0.5 },
        { index: 0, cosine: 0.25, label: "the first", label_source: "tests" },
      ],
    });
  });

  it("is answered with its statistics and examples where it has some", async () => {
    const answer = (await get("/features/2")).json<object>();
    expectDescribed(FeatureSchema, answer);
    expect(answer).toMatchObject({
      rate: 0.75,
      statistics: { rows: 3, quantiles: { "0.5": 1.5 }, histogram: { edges: [1, 2, 4], counts: [2, 1] } },
      examples: [
        { row: 7, value: 4, text: "a row" },
        { row: 1, value: 1.5 },
      ],
      fires_with: [{ index: 0, lift: 1.5, count: 2, label: "the first", label_source: "tests" }],
      classes: [{ class: "noun", distance: 0.5, average_precision: 0.75 }],
    });
  });
});

describe("a search by a row", () => {
  it("finds the atoms nearest to it", async () => {
    const answer = (await search({ inputs: [[0.75, 2]], n: 1 })).json<object>();
    const url = `${PATH}/features/search`;
    const bytes = (type: string, query: string, payload: Uint8Array) =>
      test.app.inject({
        method: "POST",
        url: `${url}?${query}`,
        payload: Buffer.from(payload),
        headers: { "content-type": type },
      });
    const row = new Uint8Array(Float32Array.of(0.75, 2).buffer);
    expect((await bytes("application/octet-stream", "dtype=float32&rows=1&n=1", row)).json()).toEqual(answer);
    expect((await bytes("application/x-npy", "n=1", npyBytes([1, 2], [0.75, 2]))).json()).toEqual(answer);
    expect((await bytes("application/x-npy", "n=0", npyBytes([1, 2], [0.75, 2]))).statusCode).toBe(422);
    expect((await bytes("application/x-npy", "n=1", npyBytes([2, 2], [1, 2, 3, 4]))).json()).toMatchObject({
      detail: "inputs holds 2 rows; features are sought for one.",
    });
    expectDescribed(FoundFeaturesSchema, answer);
    expect(answer).toEqual({ features: [{ index: 3, norm: 1.25, cosine: 0.75 }] });
  });

  it.each([
    [{}, "Give one row in inputs or words in query"],
    [{ inputs: [[1, 2]], query: "a" }, "Give one row in inputs or words in query"],
    [
      {
        inputs: [
          [1, 2],
          [3, 4],
        ],
      },
      "inputs holds 2 rows; features are sought for one.",
    ],
    [{ inputs: [[1, 2]], n: 0 }, "n must be >= 1"],
    [{ inputs: [[1, 2]], m: 3 }, "There is no field m"],
  ])("refuses %j", async (body, detail) => {
    const answer = (await search(body)).json();
    expect(answer).toMatchObject({ status: 422, detail: expect.stringContaining(detail) });
  });
});

describe("a client that has an answer already", () => {
  it.each(["/features", "/features/2", "/map"])("is told so of %s", async (path) => {
    const { headers } = await get(path);
    expect(headers["etag"]).toBe('"v1"');
    const again = await get(path, { "if-none-match": headers["etag"] });
    expect([again.statusCode, again.body, again.headers["etag"]]).toEqual([304, "", '"v1"']);
    expect((await get(path, { "if-none-match": '"v0"' })).statusCode).toBe(200);
  });
});

describe("the map", () => {
  it("is [m, 2] float32", async () => {
    const answer = await get("/map");
    expect([answer.statusCode, answer.headers["content-type"]]).toEqual([200, "application/octet-stream"]);
    const { buffer, byteOffset, length } = answer.rawPayload;
    expect([...new Float32Array(buffer.slice(byteOffset, byteOffset + length) as ArrayBuffer)]).toEqual([
      0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5,
    ]);
  });
});

describe("the examples", () => {
  it("are rows with their texts, or the rows alone as bytes", async () => {
    const answer = (await get("/examples")).json<object>();
    expectDescribed(ExamplesSchema, answer);
    expect(answer).toEqual({
      inputs: [
        [0.1, 2],
        [3, 4],
      ],
      texts: ["one", "two"],
    });
    const { rawPayload, headers } = await get("/examples", { accept: "application/octet-stream" });
    expect(headers["content-type"]).toBe("application/octet-stream");
    expect([...rawPayload]).toEqual([...Buffer.from(Float32Array.of(0.1, 2, 3, 4).buffer)]);
  });
});
