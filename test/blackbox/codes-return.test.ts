/** The built server takes every encode answer back to decode, as it came: each format and type, every kind of dictionary. */
import { unpack } from "msgpackr";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { PursuitSettings } from "../../src/engine/core/dictionary.ts";
import { writeDictionary } from "../../src/engine/dictionaries/importing/write-dictionary.ts";
import { writeModelFolder } from "../support/model-folder.ts";
import { type RunningServer, startServer } from "../support/running-server.ts";
import { normals, randomAtoms } from "../support/seeded.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";
import { skipTranscoder } from "../support/transcoder.ts";

const [M, D, N] = [40, 12, 6];
const SETTINGS: Readonly<Record<string, Partial<PursuitSettings> & { readonly centred: boolean }>> = {
  plain: { centred: false },
  centred: { centred: true },
  "layer-norm": { centred: false, inputNorm: "layer_norm" },
  "layer-norm-centred": { centred: true, inputNorm: "layer_norm" },
  rescale: { centred: true, inputNorm: "constant_norm_rescale" },
};
/** A skip transcoder into wider rows: its codes are decoded beside the rows that made them. */
const D_OUT = D + 5;
const transcoder = skipTranscoder(D, D_OUT, M);

const inputs = Array.from({ length: N }, (_, i) => [...normals(D, 20 + i)]);
const INCLUDES = [[], ["trace", "reconstruction"]] as const;

let server: RunningServer;
beforeAll(async () => {
  const models = temporaryFolder();
  for (const [id, { centred, ...settings }] of Object.entries(SETTINGS)) {
    const center = centred ? { center: normals(D, 2) } : {};
    writeModelFolder(models, id, { atoms: randomAtoms(M, D, 1), d: D, settings, ...center });
  }
  const understood = { source: "a test", weights: transcoder, origins: {}, notes: [], provenance: {} };
  await writeDictionary(understood, { modelsDir: models, id: "transcoder", force: false });
  server = await startServer(models, temporaryFolder());
}, 60_000);
afterAll(() => server.stop());

async function ask(path: string, body: string | Uint8Array, type: string, accept: string): Promise<Buffer> {
  const answer = await fetch(`${server.base}/v1/dictionaries/${path}`, {
    method: "POST",
    headers: { "content-type": type, accept },
    body: typeof body === "string" ? body : Uint8Array.from(body),
  });
  const bytes = Buffer.from(await answer.arrayBuffer());
  expect(answer.status, bytes.toString().slice(0, 300)).toBe(200);
  return bytes;
}

async function encoded(id: string, format: string, include: readonly string[], accept: string): Promise<Buffer> {
  const body = JSON.stringify({ inputs, budget: { max_atoms: 5 }, format, include });
  return ask(`${id}/encode`, body, "application/json", accept);
}

async function decoded(id: string, body: string | Uint8Array, type: string): Promise<number[]> {
  const bytes = await ask(`${id}/decode`, body, type, "application/octet-stream");
  return [...new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4)];
}

/** As the server itself reconstructs the rows. */
async function reconstructed(id: string): Promise<number[]> {
  const answer = await encoded(id, "sparse", ["reconstruction"], "application/json");
  const { codes } = JSON.parse(answer.toString()) as { codes: { reconstruction: number[] }[] };
  return codes.flatMap(({ reconstruction }) => reconstruction);
}

function expectClose(got: readonly number[], wanted: readonly number[]): void {
  expect(got).toHaveLength(wanted.length);
  for (const [i, value] of got.entries()) expect(value).toBeCloseTo(wanted[i]!, 4);
}

describe.each(Object.keys(SETTINGS))("an answer of %s", (id) => {
  it.each(["sparse", "csr", "dense", "map"])("in format %s goes back whole, and as its codes", async (format) => {
    const wanted = await reconstructed(id);
    for (const include of INCLUDES) {
      const json = await encoded(id, format, include, "application/json");
      expectClose(await decoded(id, json, "application/json"), wanted);
      const answer = JSON.parse(json.toString()) as { codes?: unknown };
      const codes = JSON.stringify({ codes: answer.codes ?? answer });
      expectClose(await decoded(id, codes, "application/json"), wanted);

      const msgpack = await encoded(id, format, include, "application/msgpack");
      expectClose(await decoded(id, msgpack, "application/msgpack"), wanted);
      // From one type into the other: arrays as {data, dtype, shape} with base64.
      const crossed = JSON.stringify(unpack(msgpack), (_key, value: unknown) =>
        isBuffer(value) ? Buffer.from(value.data).toString("base64") : value,
      );
      expectClose(await decoded(id, crossed, "application/json"), wanted);
    }
  });

  it.each(["sparse", "dense", "map"])("in lines of format %s goes back as a list of them", async (format) => {
    const rows = inputs.map((input, i) => JSON.stringify({ input, id: `row ${i}` })).join("\n");
    const query = `max_atoms=5&format=${format}&include=trace,reconstruction`;
    const lines = await ask(`${id}/encode?${query}`, rows, "application/x-ndjson", "application/x-ndjson");
    const codes = `{"codes": [${lines.toString().trim().split("\n").join(",")}]}`;
    expectClose(await decoded(id, codes, "application/json"), await reconstructed(id));
  });
});

describe("an answer of a skip transcoder into wider rows", () => {
  it.each(["sparse", "csr", "dense", "map"])("in format %s goes back whole beside its rows", async (format) => {
    const wanted = await reconstructed("transcoder");
    expect(wanted).toHaveLength(N * D_OUT);
    const answer = JSON.parse((await encoded("transcoder", format, [], "application/json")).toString()) as object;
    expectClose(await decoded("transcoder", JSON.stringify({ ...answer, inputs }), "application/json"), wanted);
  });

  it("is the same for rows that come as bytes", async () => {
    const bytes = new Uint8Array(Float32Array.from(inputs.flat()).buffer);
    const path = `transcoder/encode?dtype=float32&rows=${N}&max_atoms=5`;
    const codes = JSON.parse((await ask(path, bytes, "application/octet-stream", "application/json")).toString());
    const listed = JSON.parse((await encoded("transcoder", "sparse", [], "application/json")).toString());
    expect(codes).toEqual(listed);
  });
});

const isBuffer = (value: unknown): value is { readonly data: number[] } =>
  typeof value === "object" && value !== null && (value as { type?: unknown }).type === "Buffer";

it("an answer of another version is refused, and told so", async () => {
  const answer = JSON.parse((await encoded("plain", "sparse", [], "application/json")).toString()) as object;
  const refused = await fetch(`${server.base}/v1/dictionaries/centred/decode`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(answer),
  });
  expect(refused.status).toBe(422);
  expect(await refused.json()).toMatchObject({
    code: "PURSUIT_INVALID_CODE",
    detail: expect.stringMatching(/made by version [0-9a-f]{64}; the dictionary is version/),
  });
});
