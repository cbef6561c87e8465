import { pack } from "msgpackr";
import type { PursuitWeights } from "../../../src/engine/core/dictionary-weights.ts";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { type Codec, WrittenOnce, writeRequest } from "../../../load-tests/client/codecs.ts";
import { expectedCodes, firstSteps } from "../../../load-tests/client/expected-codes.ts";
import { createJudge } from "../../../load-tests/client/judged-requests.ts";
import { poolOf } from "../../../load-tests/client/row-pool.ts";

/** Rows of two, their own codes under two orthogonal atoms: the larger first. */
const rows = [
  [3, 1],
  [1, 4],
  [5, 2],
].map((row) => Float32Array.from(row));
const pool = poolOf(
  "two",
  {
    kind: "matching_pursuit",
    d: 2,
    m: 2,
    atoms: Float32Array.of(1, 0, 0, 1),
    center: null,
    settings: {
      score: "relu",
      reselect: "add",
      center: false,
      residualThreshold: 0,
      maxAtoms: null,
      inputNorm: "none",
    },
  } as PursuitWeights,
  Float32Array.from(rows.flatMap((row) => [...row])),
);

const codeOf = ([a, b]: Float32Array) => ({
  indices: [0, 1],
  values: [a!, b!],
  atoms: 2,
  steps: 2,
  residual_norm: 0,
  relative_error: 0,
  stop: "max_atoms",
  trace: a! > b! ? { indices: [0, 1], values: [a!, b!] } : { indices: [1, 0], values: [b!, a!] },
});

beforeEach(() => {
  vi.stubGlobal("fetch", async (_url: string, { body }: { body: Buffer }) => {
    const { inputs } = JSON.parse(body.toString()) as { inputs: { data: string } };
    const row = new Float32Array(new Uint8Array(Buffer.from(inputs.data, "base64")).buffer);
    const code = codeOf(row);
    return Response.json({ codes: [{ ...code, trace: { ...code.trace, residual_norms: [1, 0] } }] });
  });
});
afterEach(() => vi.unstubAllGlobals());

const json = (codes: object[]) => ({
  status: 200,
  contentType: "application/json",
  body: Buffer.from(JSON.stringify({ codes })),
});

/** One of the first connection's, of two atoms a row. */
async function requestOf(kind: { readonly rows: number; readonly codec: Codec }) {
  const budget = { max_atoms: 2 };
  const expected = await expectedCodes("http://127.0.0.1", pool, budget);
  return { ...kind, pool, expected, connection: 0, count: 1, options: { budget }, written: new WrittenOnce() };
}

async function judged(answers: (right: object[]) => object[], onOverload?: "degrade") {
  const judge = createJudge();
  const request = await requestOf({ rows: 3, codec: "json" });
  const options = { ...request.options, ...(onOverload && { on_overload: onOverload }) };
  const [post] = judge.posts({ ...request, options });
  post!.judge(json(answers(rows.map(codeOf))));
  judge.settle();
  return judge.tally;
}

test("the codes of the rows when alone are right", async () => {
  expect(await judged((right) => right)).toMatchObject({ rows: 3, wrong: 0, undecided: 0, degraded: 0 });
});

test("crossed, altered, missing and extra codes are each wrong", async () => {
  expect((await judged(([a, b, c]) => [b!, a!, c!])).wrong).toBe(2);
  expect((await judged(([a, b, c]) => [{ ...a!, values: [3, 1.001] }, b!, c!])).wrong).toBe(1);
  expect((await judged(([a, b, c]) => [{ ...a!, stop: "tolerance" }, b!, c!])).wrong).toBe(1);
  expect((await judged(([a, b]) => [a!, b!])).wrong).toBe(3);
  expect((await judged((right) => [...right, right[0]!])).wrong).toBe(3);
  const { faults } = await judged(([a, b, c]) => [b!, a!, c!]);
  expect(faults[0]).toContain("row 0 of the pool");
});

test("an answer that comes again counts again, and one that differs between is judged by itself", async () => {
  const judge = createJudge();
  let seen = 0;
  const [post] = judge.posts({ ...(await requestOf({ rows: 3, codec: "json" })), onCode: () => seen++ });
  const [a, b, c] = rows.map(codeOf);
  const [right, crossed] = [
    [a!, b!, c!],
    [b!, a!, c!],
  ];
  for (const codes of [right, right, crossed, crossed, crossed, right]) post!.judge(json(codes));
  judge.settle();
  expect(judge.tally).toMatchObject({ rows: 18, wrong: 6 });
  expect(seen).toBe(18);
  // What was judged is not added to.
  post!.judge(json(right));
  judge.settle();
  expect(judge.tally).toMatchObject({ rows: 21, wrong: 6 });
});

test("a shortened row is right where it was allowed and is the beginning of its pursuit", async () => {
  const short = (index: number, value: number) => ({
    indices: [index],
    values: [value],
    steps: 1,
    relative_error: 0.1,
    stop: "degraded",
  });
  const shortened = ([a, , c]: object[]): object[] => [a!, short(1, 4), c!];
  expect(await judged(shortened, "degrade")).toMatchObject({ wrong: 0, degraded: 1 });
  expect(await judged(shortened)).toMatchObject({ wrong: 1 });
  expect(await judged(([a, , c]) => [a!, short(0, 1), c!], "degrade")).toMatchObject({ wrong: 1 });
});

test("the first steps of a trace merge what was selected twice", () => {
  const code = {
    indices: [0, 1],
    values: [3, 5],
    steps: 3,
    relative_error: 0,
    stop: "max_atoms",
    trace: { indices: [1, 0, 1], values: [4, 3, 1], residual_norms: [3, 2, 1] },
  };
  expect(firstSteps(code, 2)).toMatchObject({ indices: [0, 1], values: [3, 4], steps: 2, stop: "degraded" });
});

test("msgpack answers are read as JSON's", async () => {
  const judge = createJudge();
  const [post] = judge.posts(await requestOf({ rows: 1, codec: "octets" }));
  const bin = (array: Uint32Array | Float32Array, dtype: string) => ({
    data: Buffer.from(array.buffer),
    dtype,
    shape: [array.length],
  });
  const columns = {
    indptr: bin(Uint32Array.of(0, 2), "uint32"),
    indices: bin(Uint32Array.of(0, 1), "uint32"),
    values: bin(Float32Array.of(3, 1), "float32"),
    steps: bin(Uint32Array.of(2), "uint32"),
    relative_error: bin(Float32Array.of(0), "float32"),
    stop: ["max_atoms"],
  };
  post!.judge({ status: 200, contentType: "application/msgpack", body: Buffer.from(pack(columns)) });
  judge.settle();
  expect(judge.tally).toMatchObject({ rows: 1, wrong: 0 });
});

test("octets carry their fields in the query", () => {
  const { path, headers, body } = writeRequest(pool, [2, 0], "octets", {
    budget: { max_atoms: 16, tolerance: 0.5 },
    on_overload: "degrade",
  });
  expect(path).toBe("/v1/dictionaries/two/encode?dtype=float32&rows=2&max_atoms=16&tolerance=0.5&on_overload=degrade");
  expect(headers).toEqual({ "content-type": "application/octet-stream", accept: "application/msgpack" });
  expect([...new Float32Array(new Uint8Array(body).buffer)]).toEqual([5, 2, 3, 1]);
});

test("JSON bodies hold the same rows and fields", () => {
  const options = { budget: { max_atoms: 16 } };
  expect(JSON.parse(writeRequest(pool, [1, 2], "json", options).body.toString())).toEqual({
    inputs: [
      [1, 4],
      [5, 2],
    ],
    ...options,
  });
  const { inputs } = JSON.parse(writeRequest(pool, [1], "base64", options).body.toString()) as {
    inputs: { data: string; shape: number[] };
  };
  expect(inputs.shape).toEqual([1, 2]);
  expect([...new Float32Array(new Uint8Array(Buffer.from(inputs.data, "base64")).buffer)]).toEqual([1, 4]);
});

test("connections that send the same rows send the same bytes", async () => {
  const judge = createJudge();
  const request = await requestOf({ rows: 3, codec: "json" });
  const [first] = judge.posts(request);
  const [again] = judge.posts({ ...request, connection: pool.count });
  const [other] = judge.posts({ ...request, connection: 1 });
  expect(again!.body).toBe(first!.body);
  expect(other!.body.equals(first!.body)).toBe(false);
});
