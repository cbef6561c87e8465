/** `pursuit encode` with a tiny sentence-embedding model: what it shows, and what it says where the model is missing. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { describe, expect, it } from "vitest";
import { writeFeatures } from "../../src/bulk/features-writer.ts";
import { newMeta } from "../../src/engine/dictionaries/features-file.ts";
import { readManifest } from "../../src/engine/dictionaries/manifest.ts";
import { loadWeights } from "../../src/engine/dictionaries/weights.ts";
import { SafetensorsFile } from "../../src/engine/dictionaries/formats/safetensors.ts";
import { writeModelFolder } from "../support/model-folder.ts";
import { npyBytes } from "../support/npy-bytes.ts";
import { callCli } from "../support/call-cli.ts";
import { startServer } from "../support/running-server.ts";
import { StandInHub } from "../support/stand-in-hub.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";
import {
  TINY_EMBEDDER,
  TINY_MODEL,
  TINY_ORDER,
  TINY_ROW,
  TINY_TEXT,
  writeTinyDictionary,
} from "../support/tiny-embedder.ts";

const folder = temporaryFolder();
const models = temporaryFolder();
writeFileSync(
  join(writeModelFolder(models, "axes", { atoms: Float32Array.of(1, 0, 0, 1), d: 2 }), "labels.json"),
  '{"1": {"text": "the second axis"}}',
);

/** Files of a folder by their paths in it. */
const filesBelow = (root: string): Record<string, Uint8Array> =>
  Object.fromEntries(
    readdirSync(root, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map(({ parentPath, name }) => join(parentPath, name))
      .map((path) => [relative(root, path), readFileSync(path)]),
  );

const tiny = writeTinyDictionary(models, "tiny");
const OWN = { PURSUIT_EMBEDDER_DIR: TINY_EMBEDDER };
const [FIRST, SECOND] = TINY_ORDER as [number, number];
/** The two selections of TINY_TEXT, with these words. */
const codeOf = (one: string, other: string): string =>
  [FIRST, SECOND]
    .map((axis, k) => {
      const left = Math.sqrt(
        TINY_ROW.reduce((sum, x, i) => sum + (TINY_ORDER.slice(0, k + 1).includes(i) ? 0 : x * x), 0),
      );
      const [value, rest] = [TINY_ROW[axis]!.toFixed(4).padStart(8), left.toFixed(4).padStart(8)];
      return `     ${k + 1} ${String(axis).padStart(6)} ${value} ${rest}  ${[one, other][k]}`;
    })
    .join("\n");

const encode = (env: Record<string, string>, ...args: readonly string[]) =>
  callCli(["encode", TINY_TEXT, "--dictionary", "tiny", "--max-atoms", "2", ...args], env);

describe("pursuit encode", () => {
  it("shows a sentence's atoms in the order of selection, with their labels", async () => {
    const { code, stdout, stderr } = await encode(OWN, "--models-dir", models);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toBe(
      `${TINY_TEXT}\n  step   atom    value      ‖r‖  label\n${codeOf("the longest axis", "—")}\n  stopped by max_atoms\n\n`,
    );
  });

  it("shows the words of a feature's examples where it has no label, here and by a server", async () => {
    const both = temporaryFolder();
    const own = writeTinyDictionary(both, "tiny");
    const { sha256 } = await loadWeights(own, await readManifest(own));
    await writeFeatures(own, {
      meta: newMeta({ sha256, m: 32, rows: 0 }),
      columns: {},
      records: new Map(),
      texts: new Map(),
      labels: new Map([[SECOND, [{ text: "east, right", source: "examples" }]]]),
    });
    const words = codeOf("the longest axis", "east, right  (from examples)");
    expect((await encode(OWN, "--models-dir", both)).stdout).toContain(words);
    const server = await startServer(both, temporaryFolder());
    try {
      expect((await encode(OWN, "--url", server.base)).stdout).toContain(words);
    } finally {
      await server.stop();
    }
  });

  it("fetches the model from the hub once, then uses the cache, and pursuit embedder shows it", async () => {
    const hub = await StandInHub.start();
    const cache = temporaryFolder();
    const env = { HF_ENDPOINT: hub.endpoint, HF_HUB_CACHE: cache, PURSUIT_EMBEDDER_DIR: "" };
    try {
      const missing = await encode({ ...env, HF_HUB_OFFLINE: "1" }, "--models-dir", models);
      expect(missing.stderr).toMatch(
        new RegExp(`HF_HUB_OFFLINE is set, and the cache .* does not hold ${TINY_MODEL}@main`),
      );
      hub.add(TINY_MODEL, { "modules.json": Buffer.from("[]") });
      expect((await encode(env, "--models-dir", models)).stderr).toMatch(
        /test\/tiny-uncased holds no 1_Pooling\/config\.json and no .* and no onnx\/model\.onnx\. Export/,
      );
      hub.add(TINY_MODEL, filesBelow(TINY_EMBEDDER));
      const fetched = await encode(env, "--models-dir", models);
      expect(fetched.stderr).toContain("fetching onnx/model.onnx");
      expect(fetched.stdout).toContain(codeOf("the longest axis", "—"));
      hub.asked.length = 0;
      const { stdout, stderr } = await callCli(["embedder", "tiny", "--models-dir", models], env);
      expect([stderr, stdout]).toEqual([
        "",
        expect.stringMatching(/^test\/tiny-uncased: .*\n {2}mean pooling, 24 tokens/),
      ]);
      expect(hub.asked).toEqual([]);
    } finally {
      await hub.close();
    }
  });

  it("says what to do without a model, with a wrong folder, and with another model's rows", async () => {
    const said = async (env: Record<string, string>, ...args: readonly string[]): Promise<string> =>
      (await encode(env, "--models-dir", models, ...args)).stderr;
    expect(await said(OWN, "--dictionary", "axes")).toMatch(
      /^axes names no sentence-embedding model\. .* add "sentence_model": "owner\/name" to provenance/,
    );
    expect(await said({ PURSUIT_EMBEDDER_DIR: models })).toMatch(/^PURSUIT_EMBEDDER_DIR is .* holds modules\.json/);
    writeModelFolder(models, "narrow", {
      atoms: Float32Array.of(1, 0, 0, 1),
      d: 2,
      provenance: { sentence_model: TINY_MODEL },
    });
    expect(await said(OWN, "--dictionary", "narrow")).toBe(
      "test/tiny-uncased gives rows of 32; narrow takes rows of 2: it is over another model.\n",
    );
    const examples = readFileSync(join(tiny, "examples.json"));
    writeFileSync(join(tiny, "examples.json"), '["another text altogether"]');
    expect(await said(OWN)).toMatch(/^Warning: The embedder embeds the example "another text altogether" otherwise/);
    writeFileSync(join(tiny, "examples.json"), examples);
  });

  it("encodes a file of rows into a file of codes, here and by a server alike", { timeout: 60_000 }, async () => {
    const numbers = [3, 4, 0, -1, 0.5, 0.25, 1, 1];
    const [npy, here, there, table] = ["x.npy", "here.safetensors", "there.safetensors", "codes.parquet"].map((name) =>
      join(folder, name),
    ) as [string, string, string, string];
    writeFileSync(npy, npyBytes([4, 2], numbers));
    const encodeRows = (out: string, ...flags: readonly string[]) =>
      callCli(["encode", "--dictionary", "axes", "--rows", npy, "--out", out, "--tolerance", "0.7", ...flags]);
    expect(await encodeRows(here, "--models-dir", models)).toMatchObject({
      code: 0,
      stdout: `${here}: the codes of 4 rows\n`,
    });
    const server = await startServer(models, temporaryFolder());
    try {
      expect(await encodeRows(there, "--url", server.base)).toMatchObject({ code: 0 });
    } finally {
      await server.stop();
    }
    expect(readFileSync(there)).toEqual(readFileSync(here));
    const codes = await SafetensorsFile.open(here);
    expect(codes.metadata).toMatchObject({ dictionary: "axes", shape: "[4,2]", budget: '{"tolerance":0.7}' });
    expect(await codes.readFloats("values")).toEqual(Float32Array.of(4, 0.5, 1, 1));
    await codes.close();

    expect((await encodeRows(table, "--models-dir", models)).code).toBe(0);
    expect(readFileSync(table).subarray(0, 4).toString()).toBe("PAR1");
    const said = async (...args: readonly string[]): Promise<string> =>
      (await callCli(["encode", "--models-dir", models, ...args])).stderr;
    expect(await said("--rows", npy)).toBe("--rows <file> and --out <file> go together.\n");
    expect(await said()).toBe("Give sentences, or --rows <file> and --out <file>.\n");
    expect(await said("--dictionary", "axes", "--rows", npy, "--out", "codes.csv")).toMatch(
      /ends in neither \.safetensors/,
    );
  });
});
