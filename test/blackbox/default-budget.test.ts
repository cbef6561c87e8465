/** The budget of rows that have none, the same rule on every route. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Encoded, get, post } from "../support/client.ts";
import { writeModelFolder } from "../support/model-folder.ts";
import { type RunningServer, startServer } from "../support/running-server.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

const D = 6;
/** The atoms are the axes, so the code of this row has an atom for each step, 0 first. */
const ROW = [6, 5, 4, 3, 2, 1];
const AXES = Float32Array.from({ length: D * D }, (_, i) => Number(i % (D + 1) === 0));
const PATH = "/v1/dictionaries/small";
const models = temporaryFolder();
const file = join(writeModelFolder(models, "small", { atoms: AXES, d: D }), "dictionary.json");
writeModelFolder(models, "open", { atoms: AXES, d: D });

const setDefault = (budget: object): void => {
  const manifest = JSON.parse(readFileSync(file, "utf8")) as object;
  writeFileSync(file, JSON.stringify({ ...manifest, default_budget: budget }));
};

/** What a request says of its budget, and the atoms that its row then gets. */
const CASES: readonly (readonly [string, { readonly budget?: object }, number])[] = [
  ["no budget", {}, 2],
  ["an empty budget", { budget: {} }, D],
  ["another part than the default's", { budget: { tolerance: 1e-6 } }, D],
  ["a smaller budget", { budget: { max_atoms: 1 } }, 1],
  ["one budget per row", { budget: [{}] }, D],
];

describe("default_budget", () => {
  let server: RunningServer;
  beforeAll(async () => {
    setDefault({ max_atoms: 2 });
    server = await startServer(models, temporaryFolder());
  });
  afterAll(async () => {
    expect(await server.stop()).toBe(0);
  });
  const encode = (fields: object): Promise<Encoded> =>
    post(server.base, `${PATH}/encode`, { inputs: [ROW], ...fields });

  it.each(CASES)("of encode: %s", async (_what, fields, atoms) => {
    expect((await encode(fields)).codes[0]!.atoms).toBe(atoms);
  });

  it.each(CASES)("of encode by another encoder: %s", async (_what, fields, atoms) => {
    expect((await encode({ encoder: "orthogonal", ...fields })).codes[0]!.atoms).toBe(atoms);
  });

  it.each(CASES)("of transfer: %s", async (_what, fields, atoms) => {
    const body = { from: "small", to: "open", inputs: [ROW], encoder: "own", ...fields };
    const { from } = await post<{ from: Encoded }>(server.base, "/v1/transfer", body);
    expect(from.codes[0]!.atoms).toBe(atoms);
  });

  it.each(CASES)("of steer: %s", async (_what, fields, atoms) => {
    // The coefficient before the edit shows whether the code has that atom.
    const edits = ROW.map((_, feature) => ({ feature, op: "remove" }));
    const body = { inputs: [ROW], edits, include: ["effect"], ...fields };
    const { changes } = await post<{ changes: { edits: { before: number }[] }[] }>(server.base, `${PATH}/steer`, body);
    expect(changes[0]!.edits.filter(({ before }) => before !== 0)).toHaveLength(atoms);
  });

  it("of bytes and of a query", async () => {
    const send = async (query: string): Promise<number> => {
      const answer = await fetch(`${server.base}${PATH}/encode?dtype=float32&rows=1${query}`, {
        method: "POST",
        headers: { "content-type": "application/octet-stream", accept: "application/json" },
        body: Float32Array.from(ROW),
      });
      return ((await answer.json()) as Encoded).codes[0]!.atoms;
    };
    expect([await send(""), await send("&max_atoms=4"), await send("&budget={}")]).toEqual([2, 4, D]);
  });

  it("of lines, each by itself", async () => {
    const send = async (query: string): Promise<number[]> => {
      const answer = await fetch(`${server.base}${PATH}/encode${query}`, {
        method: "POST",
        headers: { "content-type": "application/x-ndjson" },
        body: [ROW, { input: ROW, budget: {} }, { input: ROW, budget: { max_atoms: 1 } }, ROW]
          .map((line) => `${JSON.stringify(line)}\n`)
          .join(""),
      });
      const text = await answer.text();
      return text
        .trimEnd()
        .split("\n")
        .map((line) => (JSON.parse(line) as { atoms: number }).atoms);
    };
    expect(await send("")).toEqual([2, D, 1, 2]);
    expect(await send("?max_atoms=4")).toEqual([4, D, 1, 4]);
  });

  it("of /v2, as JSON and as bytes", async () => {
    const url = "/v2/models/small/infer";
    const rows = { name: "rows", datatype: "FP32", shape: [1, D], data: ROW };
    type Inferred = { readonly outputs: { readonly name: string; readonly data: number[] }[] };
    const infer = async (more: object, inputs: object[] = []): Promise<number> => {
      const { outputs } = await post<Inferred>(server.base, url, { inputs: [rows, ...inputs], ...more });
      return outputs.find(({ name }) => name === "atoms")!.data[0]!;
    };
    expect(await infer({})).toBe(2);
    expect(await infer({ parameters: { binary_data_output: false } })).toBe(2);
    expect(await infer({ parameters: { max_atoms: 5 } })).toBe(5);
    expect(await infer({ parameters: { min_gain: 1e-9 } })).toBe(D);
    expect(await infer({}, [{ name: "max_atoms", datatype: "INT32", shape: [1], data: [3] }])).toBe(3);
    const raw = await fetch(server.base + url, {
      method: "POST",
      headers: { "inference-header-content-length": "0", "content-type": "application/octet-stream" },
      body: Float32Array.from(ROW),
    });
    const length = Number(raw.headers.get("inference-header-content-length"));
    const { outputs } = JSON.parse(Buffer.from(await raw.arrayBuffer()).toString("utf8", 0, length)) as {
      outputs: { name: string; shape: number[] }[];
    };
    expect(outputs.find(({ name }) => name === "indices")!.shape).toEqual([1, 2]);
  });

  it("is shown, and a dictionary without one and without a cap is warned of", async () => {
    expect(await get(server.base, PATH)).toMatchObject({ default_budget: { max_atoms: 2 }, warnings: [] });
    const open = await get<{ warnings: string[] }>(server.base, "/v1/dictionaries/open");
    expect(open).not.toHaveProperty("default_budget");
    expect(open.warnings).toEqual([expect.stringMatching(/neither default_budget nor encoder\.max_atoms/)]);
    expect(server.log()).toMatch(/neither default_budget nor encoder\.max_atoms/);
    const config = await get<{ parameters: object }>(server.base, "/v2/models/small/config");
    expect(config.parameters).toMatchObject({ default_budget: { string_value: '{"max_atoms":2}' } });
  });

  it("is not part of the version", async () => {
    const before = await encode({});
    setDefault({ max_atoms: 3 });
    await fetch(`${server.base}/v2/repository/models/small/load`, { method: "POST" });
    const after = await encode({});
    expect([before.codes[0]!.atoms, after.codes[0]!.atoms]).toEqual([2, 3]);
    expect(after.sha256).toBe(before.sha256);
  });
});
