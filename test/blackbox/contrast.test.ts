/** The built server compares two sets of rows or codes, and says what is wrong with a set. */
import { cpSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { pack } from "msgpackr";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { contrast } from "../../src/engine/core/contrast.ts";
import { type Encoded, post } from "../support/client.ts";
import { writeModelFolder } from "../support/model-folder.ts";
import { npyBytes } from "../support/npy-bytes.ts";
import { type RunningServer, startServer } from "../support/running-server.ts";
import { normals, randomAtoms } from "../support/seeded.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";
import { readSafetensors } from "../support/wire-answers.ts";

const SHIPPED = fileURLToPath(new URL("../../models/minilm-wordnet-mp", import.meta.url));
const [M, D] = [40, 12];
const rowsOf = (count: number, seed: number): number[][] =>
  Array.from({ length: count }, (_, i) => [...normals(D, seed + i)]);
const [a, b] = [rowsOf(6, 10), rowsOf(9, 100)];
const budget = { max_atoms: 4 };

let server: RunningServer;
beforeAll(async () => {
  const models = temporaryFolder();
  writeModelFolder(models, "small", { atoms: randomAtoms(M, D, 1), d: D });
  cpSync(SHIPPED, `${models}/minilm-wordnet-mp`, { recursive: true });
  server = await startServer(models, temporaryFolder(), { PURSUIT_MAX_ROWS: "300" });
}, 60_000);
afterAll(() => server.stop());

interface Answer {
  readonly status: number;
  readonly body: Record<string, unknown>;
}

async function ask(body: object, id = "small", type = "application/json"): Promise<Answer> {
  const answer = await fetch(`${server.base}/v1/dictionaries/${id}/contrast`, {
    method: "POST",
    headers: { "content-type": type },
    body: type === "application/json" ? JSON.stringify(body) : Buffer.from(pack(body)),
  });
  return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
}

/** The same comparison, the rows of both sets one after the other as the whole body. */
async function askBytes(body: Uint8Array<ArrayBuffer>, type: string, query: string): Promise<Answer> {
  const url = `${server.base}/v1/dictionaries/small/contrast?${query}`;
  const answer = await fetch(url, { method: "POST", headers: { "content-type": type }, body });
  return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
}

const codesOf = async (inputs: number[][]): Promise<Encoded> =>
  post<Encoded>(server.base, "/v1/dictionaries/small/encode", { inputs, budget });

describe("POST …/contrast", () => {
  it("takes both sets as bytes or as a .npy file, and answers the same", async () => {
    const options = { sort: "rate", limit: 7, permutations: 20, seed: 3 } as const;
    const expected = await ask({ a: { inputs: a }, b: { inputs: b }, budget, ...options });
    expect(expected.status).toBe(200);
    const numbers = [...a, ...b].flat();
    const query = `rows_a=${a.length}&max_atoms=4&sort=rate&limit=7&permutations=20&seed=3`;
    const bytes = new Uint8Array(Float32Array.from(numbers).buffer);
    const octets = `dtype=float32&rows=${a.length + b.length}&${query}`;
    expect(await askBytes(bytes, "application/octet-stream", octets)).toEqual(expected);
    const npy = Uint8Array.from(npyBytes([a.length + b.length, D], numbers));
    expect(await askBytes(npy, "application/x-npy", query)).toEqual(expected);
    expect(await askBytes(npy, "application/octet-stream", query)).toEqual(expected);
    const { status, body } = await askBytes(npy, "application/x-npy", "max_atoms=4");
    expect([status, body["code"]]).toEqual([422, "PURSUIT_INVALID_FIELD"]);
    expect(body["detail"]).toMatch(
      /rows_a in the query must be the number of rows of set a, from 1 to 14; it is missing/,
    );
    expect((await askBytes(npy, "application/x-npy", `${query}&sort=size`)).status).toBe(422);
    const beside = await askBytes(Buffer.from(JSON.stringify({ a, b })), "application/json", "rows_a=6");
    expect([beside.status, beside.body["code"]]).toEqual([422, "PURSUIT_INVALID_FIELD"]);
  });

  it("answers the figures of the rows' codes", async () => {
    const sets = await Promise.all([codesOf(a), codesOf(b)]);
    const [inA, inB] = sets.map(({ codes }) => ({
      count: codes.length,
      indptr: Uint32Array.from([0, ...codes.map((_, i) => codes.slice(0, i + 1).flatMap((c) => c.indices).length)]),
      indices: Uint32Array.from(codes.flatMap(({ indices }) => indices)),
      values: Float32Array.from(codes.flatMap(({ values }) => values)),
    }));
    const options = { sort: "rate", limit: 7, permutations: 20, seed: 3 } as const;
    const expected = contrast(inA!, inB!, M, options);
    const { status, body } = await ask({ a: { inputs: a }, b: { inputs: b }, budget, ...options });
    expect(status, JSON.stringify(body)).toBe(200);
    expect(body).toMatchObject({
      dictionary: "small",
      sha256: sets[0].sha256,
      a: { rows: 6, mean_atoms: inA!.indices.length / 6, features: expected.active.a },
      b: { rows: 9, features: expected.active.b },
      features_in_both: expected.active.both,
      chance: { permutations: 20, seed: 3 },
    });
    const features = body["features"] as Record<string, number>[];
    expect(features.map(({ index }) => index)).toEqual(expected.features.map(({ index }) => index));
    for (const [k, feature] of expected.features.entries()) {
      expect(features[k]!["jensen_shannon"]).toBeCloseTo(feature.jensenShannon, 5);
      expect(features[k]!["average_precision"]).toBeCloseTo(feature.averagePrecision, 5);
      expect(features[k]!["p_value"]).toBeCloseTo(feature.pValue!, 5);
    }
  });

  it("takes codes for rows, in any format and as MessagePack", async () => {
    const common = { budget, permutations: 10 };
    const ofRows = await ask({ a: { inputs: a }, b: { inputs: b }, ...common });
    const { codes } = await codesOf(a);
    expect(await ask({ a: { codes }, b: { inputs: b }, ...common })).toEqual(ofRows);
    expect(await ask({ a: { codes }, b: { codes: (await codesOf(b)).codes }, ...common })).toEqual(ofRows);
    const csr = await post<Record<string, unknown>>(server.base, "/v1/dictionaries/small/encode", {
      inputs: a,
      budget,
      format: "csr",
    });
    const columns = { indptr: csr["indptr"], indices: csr["indices"], values: csr["values"] };
    const data = Buffer.from(Float32Array.from(b.flat()).buffer);
    const inputs = { data, dtype: "float32", shape: [b.length, D] };
    const packed = await ask({ a: { codes: columns }, b: { inputs }, ...common }, "small", "application/msgpack");
    expect(packed).toEqual(ofRows);
  });

  it("names the features that have labels", async () => {
    const { data, shape } = readSafetensors(readFileSync(`${SHIPPED}/examples.safetensors`)).tensors["rows"]!;
    const rows = Array.from({ length: shape[0]! }, (_, i) => data.slice(i * shape[1]!, (i + 1) * shape[1]!));
    const asked = { a: { inputs: rows.slice(0, 32) }, b: { inputs: rows.slice(32) }, limit: 300, permutations: 0 };
    const { status, body } = await ask(asked, "minilm-wordnet-mp");
    expect(status).toBe(200);
    expect(body).not.toHaveProperty("chance");
    const features = body["features"] as { index: number; label?: string; label_source?: string; p_value?: number }[];
    expect(features.length).toBe(300);
    expect(features.some(({ label }) => label !== undefined)).toBe(true);
    for (const { index, label, label_source: source } of features.slice(0, 5)) {
      const one = await (await fetch(`${server.base}/v1/dictionaries/minilm-wordnet-mp/features/${index}`)).json();
      expect(one).toMatchObject(label === undefined ? {} : { label, label_source: source });
    }
    expect(features.every((feature) => !("p_value" in feature))).toBe(true);
  });

  const code = { indices: [3], values: [1] };
  it.each<[string, object, number, RegExp]>([
    ["a set that is missing", { a: { inputs: a } }, 422, /^b must be \{"inputs": rows\} or \{"codes": codes\}/],
    ["a set of both kinds", { a: { inputs: a, codes: [code] }, b: { inputs: b } }, 422, /^a must hold either.*both/],
    ["a set of neither", { a: {}, b: { inputs: b } }, 422, /^a must hold either.*neither/],
    ["a field of a set", { a: { inputs: a, rows: 1 }, b: { inputs: b } }, 422, /^a has no field "rows"/],
    ["no rows", { a: { inputs: [] }, b: { inputs: b } }, 422, /^a\.inputs holds no rows/],
    ["rows of another width", { a: { inputs: [[1, 2]] }, b: { inputs: b } }, 422, /2 wide/],
    ["a number that is none", { a: { inputs: [["x", ...a[0]!.slice(1)]] }, b: { inputs: b } }, 422, /^a\.inputs\[0\]/],
    [
      "a feature that is none",
      { a: { inputs: a }, b: { codes: [code, { indices: [40], values: [1] }] } },
      422,
      /^b\.codes: row 1 names feature 40/,
    ],
    [
      "codes of two lengths",
      { a: { codes: [{ indices: [1], values: [] }] }, b: { codes: [code] } },
      422,
      /^a\.codes\[0\]/,
    ],
    ["too many rows in all", { a: { inputs: rowsOf(151, 0) }, b: { inputs: rowsOf(150, 0) } }, 413, /a and b together/],
    ["a budget for each row", { a: { inputs: a }, b: { inputs: b }, budget: [budget] }, 422, /budget/],
    ["a sort that is none", { a: { inputs: a }, b: { inputs: b }, sort: "best" }, 422, /sort/],
    ["too many listed", { a: { inputs: a }, b: { inputs: b }, limit: 1001 }, 422, /limit/],
    ["a field that is none", { a: { inputs: a }, b: { inputs: b }, permutation: 3 }, 422, /did you mean permutations/],
  ])("refuses %s", async (_what, body, status, detail) => {
    const answer = await ask({ budget, ...body });
    expect([answer.status, answer.body["detail"]]).toEqual([status, expect.stringMatching(detail)]);
  });

  it("refuses more divisions than their work allows, and makes fewer where none are asked for", async () => {
    const indices = Array.from({ length: M }, (_, j) => j);
    const full = Array.from({ length: 150 }, () => ({ indices, values: indices.map((j) => j + 1) }));
    const sets = { a: { codes: full }, b: { codes: full } };
    const { status, body } = await ask({ ...sets, permutations: 10_000, limit: 1 });
    // 300 rows of 40 features take 144,300 steps a division.
    expect([status, body["detail"]]).toEqual([
      422,
      expect.stringMatching(/^permutations is 10000;.*divided 6930 times/),
    ]);
    expect((await ask({ ...sets, limit: 1 })).body["chance"]).toMatchObject({ permutations: 100, seed: 0 });
  });
});
