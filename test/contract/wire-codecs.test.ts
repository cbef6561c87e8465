/** The same rows and budgets give the same codes, whatever they are sent as and answered in: bit for bit in float32. */
import { npyBytes } from "../support/npy-bytes.ts";
import { brotliCompressSync, brotliDecompressSync, deflateSync, gunzipSync, gzipSync, inflateSync } from "node:zlib";
import { pack, unpack } from "msgpackr";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { FORMATS, shortestFloats } from "../../src/codecs/write-codes.ts";
import { CodecEngine } from "../support/codec-engine.ts";
import { FAKE_D, FAKE_M } from "../support/fake-engine.ts";
import { random } from "../support/seeded.ts";
import { testApp, type TestApp } from "../support/test-app.ts";
import { readCodes, readSafetensors, type WireCode } from "../support/wire-answers.ts";

const ROWS = 40;
const ENCODE = "/v1/dictionaries/small/encode";
const DECODE = "/v1/dictionaries/small/decode";
const { normal, next, integer } = random(7);
/** Of many magnitudes, zero among them. */
const data = Float32Array.from({ length: ROWS * FAKE_D }, () =>
  next() < 0.05 ? 0 : normal() * 10 ** (integer(40) - 20),
);
const budgets = Array.from({ length: ROWS }, (_, i) => ({ max_atoms: i % 5 }));
let test: TestApp;

beforeAll(async () => {
  test = await testApp({}, {}, new CodecEngine());
});
afterAll(() => test.app.close());

interface Asked {
  readonly format?: string;
  readonly include?: readonly string[];
  readonly correlations?: number;
  /** One for all rows, or one per row. */
  readonly budget?: object;
}
interface Sent {
  readonly payload: Buffer;
  readonly type: string;
  readonly query?: Record<string, string>;
}

const lists = (): number[][] =>
  Array.from({ length: ROWS }, (_, i) => shortestFloats(data.subarray(i * FAKE_D, (i + 1) * FAKE_D)));
const raw = (column: Float32Array | Float64Array): Buffer =>
  Buffer.from(column.buffer, column.byteOffset, column.byteLength);
const shape = [ROWS, FAKE_D];
const json = (body: object): Sent => ({ payload: Buffer.from(JSON.stringify(body)), type: "application/json" });
const msgpack = (body: object): Sent => ({ payload: Buffer.from(pack(body)), type: "application/msgpack" });
const array = (column: Float32Array | Float64Array) => ({
  data: raw(column),
  dtype: column instanceof Float32Array ? "float32" : "float64",
  shape,
});
const base64 = (column: Float32Array | Float64Array) => {
  const { data: bytes, ...rest } = array(column);
  return { data: bytes.toString("base64"), ...rest };
};
const queryOf = ({ include, correlations, budget, format }: Asked): Record<string, string> => ({
  ...(include && { include: include.join(",") }),
  ...(correlations !== undefined && { correlations: String(correlations) }),
  ...(format !== undefined && { format }),
  ...(budget && { budget: JSON.stringify(budget) }),
});
const octets = (column: Float32Array | Float64Array, dtype: string, asked: Asked): Sent => ({
  payload: raw(column),
  type: "application/octet-stream",
  query: { dtype, rows: String(ROWS), ...queryOf(asked) },
});

/** How the rows can be sent. Each holds the same float32 values. */
const REQUESTS: Readonly<Record<string, (asked: Asked) => Sent>> = {
  "JSON lists": (asked) => json({ inputs: lists(), ...asked }),
  "JSON base64 float32": (asked) => json({ inputs: base64(data), ...asked }),
  "JSON base64 float64": (asked) => json({ inputs: base64(Float64Array.from(data)), ...asked }),
  "msgpack lists": (asked) => msgpack({ inputs: lists(), ...asked }),
  "msgpack float32": (asked) => msgpack({ inputs: array(data), ...asked }),
  "msgpack float64": (asked) => msgpack({ inputs: array(Float64Array.from(data)), ...asked }),
  "octet-stream float32": (asked) => octets(data, "float32", asked),
  "octet-stream float64": (asked) => octets(Float64Array.from(data), "float64", asked),
  ".npy float32": (asked) => npy("<f4", "application/x-npy", asked),
  ".npy float64 as octet-stream": (asked) => npy("<f8", "application/octet-stream", asked),
};

const npy = (dtype: string, type: string, asked: Asked): Sent => ({
  payload: Buffer.from(npyBytes([ROWS, data.length / ROWS], Array.from(data), { dtype })),
  type,
  query: queryOf(asked),
});

const lines = (asked: Asked): Sent => {
  const { budget, ...rest } = asked;
  const perRow = Array.isArray(budget) ? (budget as object[]) : null;
  const text = lists().map((input, i) => JSON.stringify(perRow ? { input, budget: perRow[i] } : input));
  const query = queryOf({ ...rest, ...(budget && !perRow && { budget }) });
  return { payload: Buffer.from(text.join("\n")), type: "application/x-ndjson", query };
};

/** Formats that each type of answer knows. */
const ANSWERS: Readonly<Record<string, readonly string[]>> = {
  "application/json": FORMATS,
  "application/msgpack": FORMATS,
  "application/vnd.safetensors": ["sparse", "csr", "dense"],
  "application/x-ndjson": ["sparse", "dense", "map"],
};

const post = ({ payload, type, query = {} }: Sent, headers: Record<string, string> = {}, url = ENCODE) =>
  test.app.inject({ method: "POST", url, query, payload, headers: { "content-type": type, ...headers } });

async function codesOf(sent: Sent, accept: string, format: string): Promise<WireCode[]> {
  const answer = await post(sent, { accept });
  expect(answer.statusCode, answer.body).toBe(200);
  expect(answer.headers["content-type"]).toContain(accept);
  return readCodes(accept, format, answer.rawPayload);
}

const INCLUDES = [{ include: [] }, { include: ["trace", "reconstruction", "correlations"], correlations: 3 }] as const;
const BUDGETS = { "one budget": { max_atoms: 3 }, "a budget per row": budgets } as const;

describe("the same codes", () => {
  it("hold what a codec could lose", async () => {
    const codes = await codesOf(REQUESTS["JSON lists"]!({}), "application/json", "sparse");
    expect(new Set(codes.map(({ stop }) => stop)).size).toBeGreaterThan(4);
    const values = codes.flatMap((code) => code.values);
    expect(values).toContain(1.401298464324817e-45);
    expect(values).toContain(-3.4028234663852886e38);
    expect(codes.some(({ indices }) => indices.length === 0)).toBe(true);
    const asked = { include: ["correlations"], correlations: 3 };
    const correlated = await codesOf(REQUESTS["JSON lists"]!(asked), "application/json", "sparse");
    expect(correlated[0]!.correlations!.indices).toEqual([0, 1, 2]);
  });

  for (const [request, send] of Object.entries({ ...REQUESTS, lines })) {
    for (const [accept, formats] of Object.entries(ANSWERS)) {
      if (send === lines && accept !== "application/x-ndjson") continue;
      it(`come from ${request} as ${accept}`, async () => {
        for (const budget of Object.values(BUDGETS)) {
          for (const included of INCLUDES) {
            const expected = await codesOf(
              REQUESTS["JSON lists"]!({ budget, ...included }),
              "application/json",
              "sparse",
            );
            expect(expected).toHaveLength(ROWS);
            for (const format of formats) {
              expect(await codesOf(send({ budget, ...included, format }), accept, format), format).toEqual(expected);
            }
          }
        }
      });
    }
  }

  it.each(["application/json", "application/msgpack"])(
    "can be posted back as %s, one by one or in columns",
    async (type) => {
      const asked = { budget: { max_atoms: 3 } };
      const answers: Buffer[] = [];
      for (const format of ["sparse", "csr"]) {
        const answer = await post(REQUESTS["JSON lists"]!({ ...asked, format }), { accept: type });
        const body = (type === "application/json" ? answer.json() : unpack(answer.rawPayload)) as Record<
          string,
          unknown
        >;
        const { indptr, indices, values, norm } = body;
        const codes = format === "sparse" ? body["codes"] : { indptr, indices, values, norm };
        const sent = type === "application/json" ? json({ codes }) : msgpack({ codes: codes as object });
        const decoded = await post(sent, { accept: "application/octet-stream" }, DECODE);
        expect(decoded.statusCode, decoded.body).toBe(200);
        answers.push(decoded.rawPayload);
      }
      expect(answers[0]!.length).toBe(ROWS * FAKE_D * 4);
      expect(answers[1]!.equals(answers[0]!)).toBe(true);
    },
  );
});

describe("without a format", () => {
  it.each([
    ["application/json", "sparse"],
    ["application/msgpack", "csr"],
    ["application/x-ndjson", "sparse"],
  ])("%s is answered as %s", async (accept, format) => {
    const asked = { budget: { max_atoms: 3 }, include: ["trace"] };
    const named = await post(REQUESTS["JSON lists"]!({ ...asked, format }), { accept });
    const plain = await post(REQUESTS["JSON lists"]!(asked), { accept });
    expect(plain.rawPayload.equals(named.rawPayload)).toBe(true);
  });

  it("MessagePack holds plain arrays and the shape of the inputs", async () => {
    const inputs = [lists().slice(0, 2), lists().slice(2, 4)];
    const answer = await post(json({ inputs, include: ["reconstruction"] }), { accept: "application/msgpack" });
    expect(unpack(answer.rawPayload)).toMatchObject({
      shape: [4, FAKE_M],
      inputs_shape: [2, 2, FAKE_D],
      indptr: { dtype: "uint32", shape: [5], data: expect.any(Buffer) },
      reconstruction: { dtype: "float32", shape: [4, FAKE_D] },
      stop: expect.any(Array),
    });
  });
});

describe("a decode answer", () => {
  it("holds the same rows in every type", async () => {
    const sent = json({
      codes: [
        { indices: [3, 1], values: [0.1, -7] },
        { indices: [], values: [] },
      ],
    });
    const get = async (accept: string) => {
      const answer = await post(sent, { accept }, DECODE);
      expect([answer.statusCode, answer.headers["content-type"]]).toEqual([200, expect.stringContaining(accept)]);
      return answer.rawPayload;
    };
    const bytes = await get("application/octet-stream");
    const rows = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
    expect([...rows]).toEqual([Math.fround(0.1) * 4 - 14, 1, 0, 1].map(Math.fround));
    const { tensors } = readSafetensors(await get("application/vnd.safetensors"));
    expect(tensors).toEqual({ outputs: { dtype: "F32", shape: [2, FAKE_D], data: [...rows] } });
    const { outputs } = unpack(await get("application/msgpack")) as { outputs: { data: Buffer; shape: number[] } };
    expect(Buffer.from(outputs.data).equals(bytes)).toBe(true);
    expect(outputs).toMatchObject({ dtype: "float32", shape: [2, FAKE_D] });
    const nested = [[...rows.subarray(0, 2)], [...rows.subarray(2)]];
    const parsed = JSON.parse((await get("application/json")).toString()) as { outputs: number[][] };
    expect(parsed.outputs.map((row) => row.map(Math.fround))).toEqual(nested);
    const printed = (await get("application/x-ndjson")).toString().trim().split("\n");
    expect(printed.map((line) => (JSON.parse(line) as number[]).map(Math.fround))).toEqual(nested);
  });
});

const PACK = { gzip: gzipSync, deflate: deflateSync, br: brotliCompressSync } as const;
const UNPACK = { gzip: gunzipSync, deflate: inflateSync, br: brotliDecompressSync } as const;

describe("content codings", () => {
  it.each(["gzip", "deflate", "br"] as const)("%s changes nothing, either way", async (coding) => {
    for (const send of [...Object.values(REQUESTS), lines]) {
      const sent = send({});
      const accept = send === lines ? "application/x-ndjson" : "application/json";
      const plain = await post(sent, { accept });
      const packed = { ...sent, payload: Buffer.from(PACK[coding](sent.payload)) };
      const answer = await post(packed, { accept, "content-encoding": coding, "accept-encoding": coding });
      expect(answer.statusCode, answer.body).toBe(200);
      // A stream is compressed whatever its length, which nobody knows; an answer this small is not.
      expect(answer.headers["content-encoding"]).toBe(send === lines ? coding : undefined);
      const bytes = send === lines ? UNPACK[coding](answer.rawPayload) : answer.rawPayload;
      expect(bytes.equals(plain.rawPayload)).toBe(true);
    }
  });

  it.each(["gzip", "deflate", "br"] as const)("%s makes a large answer small", async (coding) => {
    const asked = { format: "dense", include: ["trace", "reconstruction"] };
    const many = json({ inputs: Array.from({ length: 100 }, () => [1, 2]), ...asked });
    const plain = await post(many);
    expect(plain.headers).not.toHaveProperty("content-encoding");
    const answer = await post(many, { "accept-encoding": `${coding}, identity;q=0.5` });
    expect(answer.headers).toMatchObject({ "content-encoding": coding, vary: "accept-encoding" });
    expect(answer.rawPayload.length).toBeLessThan(plain.rawPayload.length / 2);
    expect(UNPACK[coding](answer.rawPayload).equals(plain.rawPayload)).toBe(true);
    const refused = await post(many, { "accept-encoding": `${coding};q=0` });
    expect(refused.headers).not.toHaveProperty("content-encoding");
    const binary = await post(many, { accept: "application/msgpack", "accept-encoding": coding });
    expect(binary.headers).not.toHaveProperty("content-encoding");
  });
});

describe("the fields of a body", () => {
  const { rows, dtype } = { rows: "1", dtype: "float32" };
  const bytes = Buffer.alloc(8);
  it.each<[string, Sent]>([
    ["JSON", json({ inputs: [[1, 2]], bugdet: 1 })],
    ["msgpack", msgpack({ inputs: [[1, 2]], bugdet: 1 })],
    ["x-msgpack", { ...msgpack({ inputs: [[1, 2]], bugdet: 1 }), type: "application/x-msgpack" }],
    ["vnd.msgpack", { ...msgpack({ inputs: [[1, 2]], bugdet: 1 }), type: "application/vnd.msgpack; v=1" }],
    ["octet-stream", { payload: bytes, type: "application/octet-stream", query: { rows, dtype, bugdet: "1" } }],
    ["lines", { payload: Buffer.from("[1,2]"), type: "application/x-ndjson", query: { bugdet: "1" } }],
  ])("are checked in %s", async (_what, sent) => {
    const answer = await post(sent);
    expect(answer.statusCode).toBe(422);
    expect(answer.json()).toMatchObject({ detail: "There is no field bugdet; did you mean budget?" });
  });

  it.each<[string, Sent, string]>([
    ["a part of a budget", json({ inputs: [[1, 2]], max_atoms: 1 }), "max_atoms; did you mean budget.max_atoms?"],
    [
      "a field in a budget",
      json({ inputs: [[1, 2]], budget: { timeout_ms: 1 } }),
      "budget.timeout_ms; did you mean timeout_ms?",
    ],
    [
      "a field in one of several budgets",
      json({ inputs: [[1, 2]], budget: [{ maxAtoms: 1 }] }),
      "did you mean budget.max_atoms?",
    ],
    ["a field of inputs", json({ inputs: [[1, 2]], dtype: "float32" }), "dtype; did you mean inputs.dtype?"],
    [
      "a part in the query",
      { payload: bytes, type: "application/octet-stream", query: { rows, dtype, max_atom: "1" } },
      "max_atom; did you mean max_atoms?",
    ],
    ["a field that is near none", json({ inputs: [[1, 2]], colour: 1 }), "colour; see /docs for those that there are."],
    [
      "rows under another name",
      json({ rows: [[1, 2]] }),
      'inputs is missing; the body holds "rows". Rows go into inputs',
    ],
  ])("name the place of %s", async (_what, sent, said) => {
    expect((await post(sent)).json()).toMatchObject({
      code: "PURSUIT_INVALID_FIELD",
      detail: expect.stringContaining(said),
    });
  });

  it.each([
    ["JSON", json({ inputs: [[1, 2]] })],
    ["msgpack", msgpack({ inputs: [[1, 2]] })],
  ])("are not looked for in the query of %s, nor passed over there", async (_what, sent) => {
    const answer = await post({ ...sent, query: { max_atoms: "1" } });
    expect(answer.statusCode).toBe(422);
    expect(answer.json()).toMatchObject({
      detail: expect.stringMatching(/^max_atoms is in the query, but the body is/),
    });
    // What is no field of ours is whoever's it is.
    expect((await post({ ...sent, query: { utm: "1" } })).statusCode).toBe(200);
  });

  it("are not there for bytes where a route takes no rows", async () => {
    const answer = await post({ payload: bytes, type: "application/octet-stream", query: { rows, dtype } }, {}, DECODE);
    expect(answer.statusCode).toBe(415);
  });
});

describe("Accept", () => {
  it.each([
    [undefined, "application/json"],
    ["*/*", "application/json"],
    ["application/*", "application/json"],
    ["application/msgpack", "application/msgpack"],
    ["application/x-msgpack", "application/msgpack"],
    ["application/json;q=0.5, application/vnd.safetensors", "application/vnd.safetensors"],
    ["application/vnd.safetensors;q=0.2, application/msgpack;q=0.3, text/html", "application/msgpack"],
    ["application/json;q=0, */*", "application/msgpack"],
    ["text/html, application/json; charset=utf-8", "application/json"],
    ["application/x-ndjson", "application/x-ndjson"],
  ])("%j is answered in %s", async (accept, expected) => {
    const answer = await post(json({ inputs: [[1, 2]] }), accept === undefined ? {} : { accept });
    expect([answer.statusCode, answer.headers["content-type"]]).toEqual([200, expect.stringContaining(expected)]);
  });

  it.each([
    [ENCODE, "text/html"],
    [ENCODE, "application/octet-stream"],
    [ENCODE, "application/json;q=0"],
    [DECODE, "image/png"],
  ])("to %s is refused for %j, and told what there is", async (url, accept) => {
    const answer = await post(json({ inputs: [[1, 2]] }), { accept }, url);
    expect(answer.statusCode).toBe(406);
    expect(answer.json()).toMatchObject({
      code: "PURSUIT_NOT_ACCEPTABLE",
      detail: expect.stringContaining("application/vnd.safetensors"),
    });
  });

  it("of JSON alone is refused for lines, which are answered by lines", async () => {
    const answer = await post(lines({}), { accept: "application/json" });
    expect(answer.statusCode).toBe(406);
    expect(answer.json()).toMatchObject({ detail: expect.stringContaining("Answers are application/x-ndjson") });
  });

  it.each([
    ["application/x-ndjson", "csr", /lines are sparse, dense or map/],
    ["application/vnd.safetensors", "map", /ask for sparse, csr or dense/],
  ])("%s has no format %s", async (accept, format, detail) => {
    const answer = await post(json({ inputs: [[1, 2]], format }), { accept });
    expect(answer.statusCode).toBe(422);
    expect(answer.json()).toMatchObject({ code: "PURSUIT_INVALID_FIELD", detail: expect.stringMatching(detail) });
  });
});
