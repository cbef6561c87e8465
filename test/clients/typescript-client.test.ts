/** clients/typescript against the built server: every call, without a cast. Then the package that would be published. */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type LineAnswer, type Matrix, PursuitClient, PursuitError } from "../../clients/typescript/src/index.ts";
import { readSafetensors } from "../../clients/typescript/src/safetensors.ts";
import { FULL, itInFull } from "../support/full.ts";
import { type RunningServer, startServer } from "../support/running-server.ts";
import { random } from "../support/seeded.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

const PACKAGE = fileURLToPath(new URL("../../clients/typescript/", import.meta.url));
const ID = "minilm-wordnet-mp";
const D = 384;
const M = 4096;

let server: RunningServer;
let client: PursuitClient;
beforeAll(async () => {
  server = await startServer(fileURLToPath(new URL("../../models", import.meta.url)), temporaryFolder());
  client = new PursuitClient(server.base);
});
afterAll(() => server.stop());

const numbers = random(7);
function rowsOf(count: number): Matrix {
  return { data: Float32Array.from({ length: count * D }, () => numbers.normal()), shape: [count, D] };
}
const listOf = ({ data }: Matrix, i: number): number[] => [...data.subarray(i * D, (i + 1) * D)];

/** The error that a call fails with. */
async function faultOf(call: Promise<unknown>): Promise<PursuitError> {
  const error = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof PursuitError) return error;
  throw new Error("It did not fail with a PursuitError.", { cause: error });
}

describe("encode", () => {
  it("gives the codes of the JSON answer, trace and labels too", async () => {
    const rows = rowsOf(3);
    const inputs = [listOf(rows, 0), listOf(rows, 1), listOf(rows, 2)];
    const include: ("trace" | "labels" | "reconstruction")[] = ["trace", "labels", "reconstruction"];
    const budget = { max_atoms: 5 };
    const codes = await client.encode(ID, rows, { budget, include });
    const { sha256, codes: expected } = await client.encodeAs(ID, { inputs, budget, include });
    expect([codes.dictionary, codes.sha256, codes.shape, codes.meanAtoms]).toEqual([ID, sha256, [3, M], 5]);
    const got = [...codes].map((code) => ({
      indices: [...code.indices],
      values: [...code.values],
      steps: code.steps,
      stop: code.stop,
      labels: code.labels,
      trace: [...code.trace!.indices],
      left: code.trace!.residualNorms!.at(-1),
      reconstruction: [...code.reconstruction!],
    }));
    expect(got).toEqual(
      expected.map(({ indices, values, steps, stop, labels, trace, residual_norm, reconstruction }) => ({
        indices,
        values: values.map(Math.fround),
        steps,
        stop,
        labels,
        trace: trace!.indices,
        left: Math.fround(residual_norm!),
        reconstruction: reconstruction!.map(Math.fround),
      })),
    );
    expect(() => codes.row(3)).toThrow(RangeError);
  });

  it("sends many rows in parts and joins their codes in order, with a budget a row", async () => {
    // The client sends 4096 at a time.
    const COUNT = FULL ? 9000 : 4100;
    const rows = rowsOf(COUNT);
    const budget = Array.from({ length: COUNT }, (_, i) => ({ max_atoms: 1 + (i % 3) }));
    const codes = await client.encode(ID, rows, { budget });
    expect([codes.length, codes.indptr.length, codes.indptr.at(-1)]).toEqual([COUNT, COUNT + 1, codes.indices.length]);
    for (const i of [0, 4095, 4096, ...(FULL ? [8191, 8192] : []), COUNT - 1]) {
      const alone = await client.encode(ID, [listOf(rows, i)], { budget: budget[i]! });
      expect(codes.row(i)).toEqual(alone.row(0));
      expect(codes.indices.slice(codes.indptr[i], codes.indptr[i + 1])).toEqual(alone.indices);
    }
  });

  it("answers each format by its own type", async () => {
    const request = { inputs: [listOf(rowsOf(1), 0)], budget: { max_atoms: 4 } };
    const sparse = await client.encodeAs(ID, request);
    const csr = await client.encodeAs(ID, { ...request, format: "csr" });
    const dense = await client.encodeAs(ID, { ...request, format: "dense" });
    const map = await client.encodeAs(ID, { ...request, format: "map" });
    const { indices, values } = sparse.codes[0]!;
    expect(indices).toHaveLength(4);
    expect([csr.indices, csr.values]).toEqual([indices, values]);
    expect(indices.map((index) => dense.codes[0]!.values[index])).toEqual(values);
    expect(indices.map((index) => map.codes[0]!.values[String(index)])).toEqual(values);
  });

  it("streams lines, and goes on after a wrong one", async () => {
    const rows = rowsOf(3);
    const lines = [listOf(rows, 0), [1, 2], { input: listOf(rows, 2), id: "third", budget: { max_atoms: 2 } }];
    const answers: LineAnswer[] = [];
    for await (const answer of client.encodeLines(ID, lines, { budget: { max_atoms: 3 } })) answers.push(answer);
    expect(answers).toMatchObject([
      { steps: 3, stop: "max_atoms" },
      { line: 2, error: { code: "PURSUIT_WRONG_WIDTH" } },
      { steps: 2, id: "third" },
    ]);
  });

  it("refuses rows that are no matrix before it sends them", async () => {
    await expect(client.encode(ID, [[1, 2], [3]])).rejects.toThrow("Row 1 has 1 numbers, row 0 has 2.");
    await expect(client.encode(ID, { data: new Float32Array(5), shape: [2, 3] })).rejects.toThrow(RangeError);
  });
});

describe("other calls", () => {
  it("decode codes and answers to the same rows", async () => {
    const rows = rowsOf(2);
    const budget = { max_atoms: 6 };
    const { outputs } = await client.decode(ID, await client.encode(ID, rows, { budget }));
    const answer = await client.encodeAs(ID, { inputs: [listOf(rows, 0), listOf(rows, 1)], budget });
    expect(outputs).toEqual((await client.decode(ID, answer)).outputs);
    expect([outputs.length, outputs[0]!.length]).toEqual([2, D]);
  });

  it("steer rows, by sets of edits that are kept", async () => {
    const { steeringSets } = client;
    const inputs = [listOf(rowsOf(1), 0)];
    const saved = await steeringSets.put(ID, "birds", [{ feature: 890, op: "add", value: 0.5 }]);
    expect((await steeringSets.list(ID)).sets).toMatchObject([{ name: "birds", edits: 1 }]);
    expect((await steeringSets.get(ID, "birds")).edits).toEqual([{ feature: 890, op: "add", value: 0.5 }]);
    const { outputs, changes } = await client.steer(ID, { inputs, set: "birds", include: ["effect"] });
    expect([outputs[0]!.length, changes[0]!.edits!.map(({ feature }) => feature)]).toEqual([D, [890]]);
    const edit = { feature: 890, op: "remove" } as const;
    expect(await faultOf(steeringSets.put(ID, "birds", [edit], { ifMatch: '"other"' }))).toMatchObject({ status: 412 });
    await steeringSets.put(ID, "birds", [edit], { ifMatch: saved.etag });
    await steeringSets.delete(ID, "birds");
    expect(await faultOf(steeringSets.get(ID, "birds"))).toMatchObject({ status: 404 });
  });

  it("list dictionaries and features, and carry rows over", async () => {
    expect((await client.dictionaries()).map(({ id }) => id)).toContain(ID);
    expect(await client.dictionary(ID)).toMatchObject({ id: ID, d_in: D, m: M });
    const { features } = await client.features(ID, { query: "bird", limit: 2 });
    expect(features).toHaveLength(2);
    expect(await client.feature(ID, features[0]!.index)).toMatchObject({ label: features[0]!.label });
    expect((await client.features(ID)).features[0]).toMatchObject({ index: 0 });
    const { inputs, texts } = await client.examples(ID);
    expect(texts).toHaveLength(inputs.length);
    const near = await client.findFeatures(ID, { inputs: [inputs[0]!], n: 3 });
    expect(near.features.map(({ cosine }) => cosine! > 0)).toEqual([true, true, true]);
    const carried = await client.transfer({
      from: ID,
      to: ID,
      inputs: [listOf(rowsOf(1), 0)],
      budget: { max_atoms: 2 },
    });
    expect([carried.to.dictionary, carried.from.codes[0]!.indices.length]).toEqual([ID, 2]);
    expect((await client.ready()).status).toBe("ready");
  });

  it("tell two sets apart, of rows or of codes", async () => {
    const [a, b] = [rowsOf(3), rowsOf(4)];
    const sets = [a, b].map((rows) => Array.from({ length: rows.shape[0] }, (_, i) => listOf(rows, i)));
    const request = { a: { inputs: sets[0]! }, b: { inputs: sets[1]! }, budget: { max_atoms: 4 }, limit: 3, seed: 1 };
    const { features, ...found } = await client.contrast(ID, request);
    expect([found.a.rows, found.b.rows, features.length]).toEqual([3, 4, 3]);
    const codes = await client.encode(ID, a, { budget: { max_atoms: 4 } });
    const again = await client.contrast(ID, { ...request, a: { codes: codes.toJSON() } });
    expect(again.features.map(({ index, set }) => [index, set])).toEqual(
      features.map(({ index, set }) => [index, set]),
    );
  });

  it("keep a person's label of a feature", async () => {
    expect(await faultOf(client.label(ID, 17))).toMatchObject({ status: 404 });
    const { etag } = await client.putLabel(ID, 17, "a test");
    expect(await client.label(ID, 17)).toMatchObject({ feature: 17, label: "a test", etag });
    const stale = await faultOf(client.putLabel(ID, 17, "another", { ifMatch: '"other"' }));
    expect(stale).toMatchObject({ status: 412 });
    await client.deleteLabel(ID, 17, { ifMatch: etag });
    expect(await faultOf(client.label(ID, 17))).toMatchObject({ status: 404 });
  });
});

describe("faults", () => {
  it("carry the server's code, detail and request id", async () => {
    const error = await faultOf(client.encode("nothing", rowsOf(1)));
    expect(error).toMatchObject({ status: 404, code: "PURSUIT_DICTIONARY_NOT_FOUND" });
    expect([error.detail.includes("nothing"), typeof error.requestId]).toEqual([true, "string"]);
  });

  it("are waited for as long as the server asks, and then told", async () => {
    let asked = 0;
    const busy = createServer((_request, response) => {
      asked++;
      const headers = { "retry-after-ms": "1", "content-type": "application/problem+json" };
      if (asked < 3) response.writeHead(429, headers).end('{"code":"PURSUIT_QUEUE_FULL","detail":"full"}');
      else if (asked === 3) response.writeHead(502).end("<html>a proxy</html>");
      else response.writeHead(200).end('{"dictionaries":[]}');
    });
    await new Promise<void>((resolve) => busy.listen(0, "127.0.0.1", resolve));
    const { port } = busy.address() as { readonly port: number };
    try {
      const url = `http://127.0.0.1:${port}/`;
      expect(await new PursuitClient(url).dictionaries()).toEqual([]);
      expect(asked).toBe(4);
      asked = 0;
      const hasty = new PursuitClient(url, { patience: 0 });
      expect(await faultOf(hasty.dictionaries())).toMatchObject({ status: 429, code: "PURSUIT_QUEUE_FULL" });
      asked = 2;
      expect(await faultOf(hasty.dictionaries())).toMatchObject({ status: 502, code: "PURSUIT_UNKNOWN" });
      // A refusal that names no time is final.
      const final = createServer((_request, response) => {
        const headers = { "content-type": "application/problem+json" };
        response.writeHead(503, headers).end('{"code":"PURSUIT_NOT_READY","detail":"unloaded"}');
      });
      await new Promise<void>((resolve) => final.listen(0, "127.0.0.1", resolve));
      const at = final.address() as { readonly port: number };
      expect(await faultOf(new PursuitClient(`http://127.0.0.1:${at.port}`).dictionaries())).toMatchObject({
        status: 503,
      });
      final.close();
    } finally {
      busy.close();
    }
  });

  it("of an answer that is cut off are told", () => {
    expect(() => readSafetensors(new ArrayBuffer(4))).toThrow("cut off");
    expect(() => readSafetensors(Float64Array.of(1e9).buffer)).toThrow("cut off");
  });
});

const prepared = existsSync(`${PACKAGE}node_modules/.package-lock.json`);
if (!prepared) console.log("SKIPPED the TypeScript client's package: tools/ci-setup has not installed what it needs.");

describe.runIf(prepared)("the package", () => {
  itInFull("has types of this OpenAPI document, and passes publint and attw", { timeout: 240_000 }, async () => {
    await promisify(execFile)("npm", ["run", "check"], { cwd: PACKAGE }).catch(
      ({ stdout, stderr }: { readonly stdout: string; readonly stderr: string }) => {
        throw new Error(`npm run check failed:\n${stdout}\n${stderr}`);
      },
    );
    expect(existsSync(`${PACKAGE}dist/index.d.ts`)).toBe(true);
  });
});
