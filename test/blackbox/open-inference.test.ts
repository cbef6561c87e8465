/** The Open Inference Protocol over a socket: codes, the repository under load, and what only bare clients do. */
import { execFile } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Encoded, get, post } from "../support/client.ts";
import { writeModelFolder } from "../support/model-folder.ts";
import { preparedPython } from "../support/prepared-python.ts";
import { openSocket, readAnswer } from "../support/raw-http.ts";
import { type RunningServer, startServer } from "../support/running-server.ts";
import { normals, randomAtoms } from "../support/seeded.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";
import { bytesOf, type PostedInput, unpackAnswer, v2Body } from "../support/v2-body.ts";

const D = 64;
const BUDGET = { max_atoms: 12 };
const models = temporaryFolder();
let server: RunningServer;

beforeAll(async () => {
  writeModelFolder(models, "one", { atoms: randomAtoms(512, D, 1), d: D });
  writeModelFolder(models, "normed", {
    atoms: randomAtoms(256, D, 3),
    d: D,
    settings: { inputNorm: "layer_norm", maxAtoms: 40 },
  });
  // A version that was warmed up on a busy machine predicts long waits at first: not what is tested here.
  server = await startServer(models, temporaryFolder(), { PURSUIT_MAX_WAIT_MS: "600000" });
});
afterAll(() => server.stop());

async function infer(id: string, inputs: readonly PostedInput[], fields: object = {}) {
  const { payload, headers } = v2Body(inputs, fields);
  const answer = await fetch(`${server.base}/v2/models/${id}/infer`, { method: "POST", body: payload, headers });
  const bytes = Buffer.from(await answer.arrayBuffer());
  if (answer.status !== 200) throw new Error(`${answer.status}: ${bytes.toString()}`);
  const length = answer.headers.get("inference-header-content-length");
  const { outputs } = unpackAnswer(bytes, length === null ? undefined : Number(length));
  return new Map(outputs.map((output) => [output.name, output]));
}
const rowsInput = (rows: Float32Array, binary = true): PostedInput => ({
  name: "rows",
  datatype: "FP32",
  shape: [rows.length / D, D],
  data: binary ? bytesOf(rows) : [...rows],
});
const lists = (rows: Float32Array): number[][] =>
  Array.from({ length: rows.length / D }, (_, i) => [...rows.subarray(i * D, (i + 1) * D)]);
const encode = (id: string, rows: Float32Array, budget: object = BUDGET): Promise<Encoded> =>
  post(server.base, `/v1/dictionaries/${id}/encode`, { inputs: lists(rows), budget });
const change = async (id: string, what: "load" | "unload") => {
  const answer = await fetch(`${server.base}/v2/repository/models/${id}/${what}`, { method: "POST" });
  return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
};

/** Outputs of an inference as /v1 writes codes. */
function codesOf(outputs: Awaited<ReturnType<typeof infer>>) {
  const { shape, data } = outputs.get("indices")!;
  const [count, k] = shape as [number, number];
  const values = outputs.get("values")!.data;
  return Array.from({ length: count }, (_, i) => {
    const atoms = outputs.get("atoms")!.data[i] as number;
    return {
      indices: data.slice(i * k, i * k + atoms),
      values: values.slice(i * k, i * k + atoms).map((value) => Math.fround(value as number)),
      atoms,
      relative_error: Math.fround(outputs.get("relative_error")!.data[i] as number),
      stop: outputs.get("stop")!.data[i],
    };
  });
}
const expectedOf = ({ codes }: Encoded) =>
  codes.map(({ indices, values, atoms, relative_error, stop }) => ({
    indices,
    values: values.map(Math.fround),
    atoms,
    relative_error: Math.fround(relative_error),
    stop,
  }));

describe("infer", () => {
  it("gives the codes of /v1, few rows and many, in JSON and in binary", async () => {
    // 1,600 rows are 400 kB in binary and 2 MB in JSON: both ways over the limit from which other threads work.
    for (const count of [3, 1600]) {
      const rows = normals(count * D, count);
      const expected = expectedOf(await encode("one", rows));
      for (const binary of [true, false]) {
        const parameters = { ...BUDGET, binary_data_output: binary };
        expect(codesOf(await infer("one", [rowsInput(rows, binary)], { parameters }))).toEqual(expected);
      }
    }
  });

  it("takes half precision in numbers that other threads widen", async () => {
    const count = 2100;
    const brain = Uint16Array.from({ length: count * D }, (_, i) => 0x3f00 + ((i * 37) % 256));
    const widened = new Float32Array(Uint32Array.from(brain, (bits) => bits << 16).buffer);
    const input = { name: "rows", datatype: "BF16", shape: [count, D], data: bytesOf(brain) };
    expect(codesOf(await infer("one", [input], { parameters: { max_atoms: 2 } }))).toEqual(
      expectedOf(await encode("one", widened, { max_atoms: 2 })),
    );
  });

  it("gives what decode needs of a dictionary with an input norm", async () => {
    const rows = normals(4 * D, 5);
    const outputs = ["shift", "scale", "reconstruction"].map((name) => ({ name, parameters: { binary_data: true } }));
    const answer = await infer("normed", [rowsInput(rows)], { outputs, parameters: BUDGET });
    const { codes } = await post<{ codes: { norm: { shift: number; scale: number }; reconstruction: number[] }[] }>(
      server.base,
      "/v1/dictionaries/normed/encode",
      { inputs: lists(rows), budget: BUDGET, include: ["reconstruction"] },
    );
    for (const name of ["shift", "scale"] as const)
      expect(answer.get(name)!.data).toEqual(codes.map(({ norm }) => Math.fround(norm[name])));
    expect(answer.get("reconstruction")!.data).toEqual(
      codes.flatMap(({ reconstruction }) => reconstruction.map(Math.fround)),
    );
    await expect(infer("one", [rowsInput(rows)], { outputs })).rejects.toThrow(/422.*no output .*shift/);
  });

  it("is counted by its route, and its rows by their dictionary", async () => {
    const metrics = await (await fetch(`${server.base}/metrics`)).text();
    expect(metrics).toMatch(/pursuit_requests_total\{route="\/v2\/models\/\{model\}\/infer",code="200"\} \d+/);
    expect(metrics).toMatch(/pursuit_rows_total\{dictionary="normed",encoder="own"\} \d+/);
  });
});

describe("bare clients", () => {
  async function raw(head: readonly string[], body: Buffer) {
    const socket = await openSocket(server.port);
    socket.write(`${[...head, "host: x", `content-length: ${body.length}`].join("\r\n")}\r\n\r\n`);
    socket.write(body);
    return readAnswer(socket);
  }
  const { payload } = v2Body([rowsInput(normals(D, 1), false)], { parameters: BUDGET });

  it("may send a blank Expect and no content type, as libcurl clients do", async () => {
    const answer = await raw(
      ["POST /v2/models/one/infer HTTP/1.1", "Expect:", `Inference-Header-Content-Length: ${payload.length}`],
      payload,
    );
    expect([answer.status, answer.headers["content-type"]]).toEqual([200, "application/json"]);
    expect(JSON.parse(answer.body)).toMatchObject({ model_name: "one" });
  });

  it("may wait for 100 Continue, and may expect nothing else", async () => {
    const waits = await raw(
      ["POST /v2/models/one/infer HTTP/1.1", "Expect: 100-continue", "connection: close"],
      payload,
    );
    expect([waits.status, waits.body]).toEqual([100, expect.stringMatching(/^HTTP\/1\.1 200 OK/)]);
    const other = await raw(["POST /v2/models/one/infer HTTP/1.1", "Expect: 200-ok", "connection: close"], payload);
    expect(other.status).toBe(417);
  });

  it("may post an empty index", async () => {
    const answer = await raw(["POST /v2/repository/index HTTP/1.1"], Buffer.alloc(0));
    expect(JSON.parse(answer.body)).toContainEqual({ name: "one", version: "1", state: "READY", reason: "" });
  });
});

describe("the repository", () => {
  it("serves a folder that is put there while the server runs, and forgets none that is taken away", async () => {
    expect((await change("late", "load")).status).toBe(404);
    const folder = writeModelFolder(models, "late", { atoms: randomAtoms(128, D, 7), d: D });
    expect(await change("late", "load")).toEqual({ status: 200, body: { name: "late", load: true } });
    expect((await encode("late", normals(D, 1))).codes).toHaveLength(1);
    rmSync(folder, { recursive: true });
    expect((await change("late", "load")).status).toBe(404);
    expect((await encode("late", normals(D, 1))).codes).toHaveLength(1);
    expect((await change("late", "unload")).status).toBe(200);
    await expect(encode("late", normals(D, 1))).rejects.toThrow(/503.*is unloaded/);
  });

  it("replaces a dictionary under load without losing or crossing an answer", async () => {
    writeModelFolder(models, "swapped", { atoms: randomAtoms(512, D, 11), d: D });
    await change("swapped", "load");
    const rows = Array.from({ length: 8 }, (_, i) => normals(16 * D, 100 + i));
    const before = await Promise.all(rows.map((one) => encode("swapped", one)));
    writeModelFolder(models, "swapped", { atoms: randomAtoms(512, D, 12), d: D });
    let loaded = false;
    const loading = change("swapped", "load").then((answer) => {
      loaded = true;
      return answer;
    });
    const answers: [number, Encoded][] = [];
    const busy = rows.map(async (one, i) => {
      for (let more = true; more; more = !loaded) answers.push([i, await encode("swapped", one)]);
    });
    expect(await loading).toEqual({ status: 200, body: { name: "swapped", load: true } });
    await Promise.all(busy);
    const after = await Promise.all(rows.map((one) => encode("swapped", one)));
    const [old, fresh] = [before[0]!.sha256, after[0]!.sha256];
    expect(old).not.toBe(fresh);
    expect(answers.length).toBeGreaterThan(8);
    expect(answers.some(([, { sha256 }]) => sha256 === old)).toBe(true);
    // Whichever version answered, its hash says which, and the codes are that version's.
    for (const [i, answer] of answers) expect(answer).toEqual(answer.sha256 === old ? before[i] : after[i]);
  });

  it("keeps what is served when what the folder holds is broken", async () => {
    const folder = writeModelFolder(models, "kept", { atoms: randomAtoms(64, D, 13), d: D });
    await change("kept", "load");
    writeFileSync(join(folder, "dictionary.json"), "{}");
    const { status, body } = await change("kept", "load");
    expect([status, body["error"]]).toEqual([
      503,
      expect.stringMatching(/must have.*What was loaded before is still served/),
    ]);
    expect((await encode("kept", normals(D, 1))).codes).toHaveLength(1);
  });

  it("ends the runtime process of what is unloaded, and stays ready", async () => {
    writeModelFolder(models, "gone", { atoms: randomAtoms(64, D, 14), d: D });
    const without = server.runtimes().length;
    await change("gone", "load");
    expect(server.runtimes()).toHaveLength(without + 1);
    await change("gone", "unload");
    expect(server.runtimes()).toHaveLength(without);
    for (const path of ["/health/ready", "/v2/health/ready"])
      expect((await fetch(server.base + path)).status).toBe(200);
    const index = await post<Record<string, unknown>[]>(server.base, "/v2/repository/index", {});
    expect(index).toContainEqual({ name: "gone", version: "1", state: "UNAVAILABLE", reason: "unloaded" });
    await expect(infer("gone", [rowsInput(normals(D, 1))])).rejects.toThrow(/503.*repository\/models\/gone\/load/);
  });
});

const python = preparedPython(
  "perf-analyzer",
  fileURLToPath(new URL("../clients/perf_analyzer-requirements.txt", import.meta.url)),
);

describe("perf_analyzer", () => {
  it("finds all that it parses before it starts", async () => {
    const { extensions } = await get<{ extensions: string[] }>(server.base, "/v2");
    expect(extensions).toContain("statistics");
    const { inputs } = await get<{ inputs: { shape: number[] }[] }>(server.base, "/v2/models/one");
    // It takes the batch off every input's shape, and gives up where nothing is left.
    for (const { shape } of inputs) expect([shape[0], shape.length]).toEqual([-1, 2]);
    const config = await get<{ max_batch_size: number; input: object[]; output: object[] }>(
      server.base,
      "/v2/models/one/config",
    );
    expect(config.max_batch_size).toBeGreaterThan(1);
    for (const tensor of [...config.input, ...config.output]) expect(tensor).toHaveProperty("name");
    const { model_stats } = await get<{ model_stats: [Record<string, unknown>] }>(server.base, "/v2/models/one/stats");
    expect(model_stats[0]).toMatchObject({
      version: "1",
      inference_count: expect.any(Number),
      execution_count: expect.any(Number),
    });
  });

  it.runIf(python !== null)(
    "measures it, in binary and in JSON",
    async () => {
      const data = join(temporaryFolder(), "rows.json");
      const content = [...normals(D, 21)];
      writeFileSync(data, JSON.stringify({ data: [{ rows: { content, shape: [D] }, max_atoms: [8] }] }));
      for (const form of ["binary", "json"]) {
        const { host } = new URL(server.base);
        const how = `-m one -b 4 --request-count 50 --input-tensor-format ${form} --output-tensor-format ${form} -u ${host}`;
        const perfAnalyzer = join(python!, "..", "perf_analyzer");
        const { stdout } = await promisify(execFile)(perfAnalyzer, [...how.split(" "), "--input-data", data]);
        expect(stdout).toMatch(/Inference count: 200/);
        expect(stdout).toMatch(/Successful request count: 50/);
      }
    },
    300_000,
  );
});
