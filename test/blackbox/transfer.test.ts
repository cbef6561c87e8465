/** The built server: a request's choice of orthogonal pursuit, and rows carried from one dictionary to another. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Encoded, post } from "../support/client.ts";
import { writeModelFolder } from "../support/model-folder.ts";
import { leastSquares, orthogonalOracle } from "../support/orthogonal-oracle.ts";
import { type RunningServer, startServer } from "../support/running-server.ts";
import { normals, randomAtoms } from "../support/seeded.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

const [M, DA, DB] = [48, 12, 20];
const models = temporaryFolder();
const a = { atoms: randomAtoms(M, DA, 1), d: DA, center: normals(DA, 2), settings: { score: "absolute" as const } };
const b = { atoms: randomAtoms(M, DB, 3), d: DB, center: normals(DB, 4) };
let server: RunningServer;

beforeAll(async () => {
  writeModelFolder(models, "a", a);
  writeModelFolder(models, "b", b);
  writeModelFolder(models, "b-normed", { ...b, settings: { inputNorm: "layer_norm" } });
  writeModelFolder(models, "short", { atoms: randomAtoms(M - 1, DB, 5), d: DB });
  server = await startServer(models, temporaryFolder());
}, 60_000);
afterAll(() => server.stop());

const rows = Array.from({ length: 5 }, (_, i) => [...normals(DA, 10 + i)]);
const weights = {
  ...a,
  m: M,
  settings: {
    score: "absolute" as const,
    rawScores: false,
    center: true,
    residualThreshold: 0,
    maxAtoms: null,
    inputNorm: "none" as const,
  },
};

interface Transferred {
  readonly outputs: readonly number[][];
  readonly to: { readonly dictionary: string; readonly input_norm: string };
  readonly from: Encoded;
}

describe("encoder orthogonal", () => {
  it("solves for all coefficients of a plain dictionary's atoms", async () => {
    const answer = await post<Encoded>(server.base, "/v1/dictionaries/a/encode", {
      inputs: rows,
      budget: { max_atoms: 4 },
      encoder: "orthogonal",
      include: ["trace"],
    });
    for (const [i, code] of answer.codes.entries()) {
      const oracle = orthogonalOracle(Float32Array.from(rows[i]!), weights, { maxAtoms: 4 });
      expect(code.trace!.indices).toEqual(oracle.indices);
      // A prefix of the trace must be solved for again: its values are not those of the code.
      expect(code.trace!.values).not.toEqual(code.values);
      for (const [k, j] of oracle.indices.entries()) {
        expect(code.values[code.indices.indexOf(j)]).toBeCloseTo(oracle.coefficients[k]!, 4);
      }
      const start = Float64Array.from(rows[i]!, (value, c) => value - a.center[c]!);
      const chosen = code.indices.map((j) => Float64Array.from(a.atoms.subarray(j * DA, (j + 1) * DA)));
      for (const [k, value] of leastSquares(chosen, start).entries()) expect(code.values[k]).toBeCloseTo(value, 4);
    }
  });

  it("leaves the dictionary's own encoder as it was", async () => {
    const own = await post<Encoded>(server.base, "/v1/dictionaries/a/encode", {
      inputs: rows,
      budget: { max_atoms: 4 },
    });
    const other = await post<Encoded>(server.base, "/v1/dictionaries/a/encode", {
      inputs: rows,
      budget: { max_atoms: 4 },
      encoder: "orthogonal",
    });
    expect(own.codes).not.toEqual(other.codes);
  });

  it("answers plain and orthogonal requests that come at once, each its own", async () => {
    const ask = (encoder: object) =>
      post<Encoded>(server.base, "/v1/dictionaries/a/encode", { inputs: rows, budget: { max_atoms: 4 }, ...encoder });
    const [plain, orthogonal] = [await ask({}), await ask({ encoder: "orthogonal" })];
    const many = await Promise.all(
      Array.from({ length: 24 }, (_, i) => ask(i % 2 === 0 ? {} : { encoder: "orthogonal" })),
    );
    for (const [i, answer] of many.entries()) expect(answer.codes).toEqual((i % 2 === 0 ? plain : orthogonal).codes);
  });
});

describe("POST /v1/transfer", () => {
  it("decodes the first dictionary's orthogonal codes with the second", async () => {
    const { outputs, to, from } = await post<Transferred>(server.base, "/v1/transfer", {
      from: "a",
      to: "b",
      inputs: rows,
      budget: { max_atoms: 4 },
    });
    expect(to).toMatchObject({ dictionary: "b", input_norm: "none" });
    const encoded = await post<Encoded>(server.base, "/v1/dictionaries/a/encode", {
      inputs: rows,
      budget: { max_atoms: 4 },
      encoder: "orthogonal",
    });
    expect(from.codes).toEqual(encoded.codes);
    const codes = from.codes.map(({ indices, values }) => ({ indices, values }));
    const decoded = await post<{ outputs: number[][] }>(server.base, "/v1/dictionaries/b/decode", { codes });
    expect(outputs).toEqual(decoded.outputs);
    expect(outputs[0]).toHaveLength(DB);
  });

  it("gives rows of a dictionary that norms its input as that normed them", async () => {
    const body = { from: "a", inputs: rows, budget: { max_atoms: 4 } };
    const plain = await post<Transferred>(server.base, "/v1/transfer", { ...body, to: "b" });
    const normed = await post<Transferred>(server.base, "/v1/transfer", { ...body, to: "b-normed" });
    expect(normed.to.input_norm).toBe("layer_norm");
    expect(normed.outputs).toEqual(plain.outputs);
  });

  it("refuses dictionaries of different sizes, rows of the second's width, and names that are not there", async () => {
    const status = async (body: object): Promise<[number, string]> => {
      const answer = await fetch(`${server.base}/v1/transfer`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ from: "a", to: "b", inputs: rows, ...body }),
      });
      return [answer.status, ((await answer.json()) as { code: string }).code];
    };
    expect(await status({ to: "short" })).toEqual([422, "PURSUIT_NOT_TRANSFERABLE"]);
    expect(await status({ from: "b", to: "a" })).toEqual([422, "PURSUIT_WRONG_WIDTH"]);
    expect(await status({ to: "nobody" })).toEqual([404, "PURSUIT_DICTIONARY_NOT_FOUND"]);
  });
});
