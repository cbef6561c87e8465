/** Texts embedded on ONNX Runtime against sentence-transformers' own embeddings of two tiny models. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { readExamples } from "../../src/engine/dictionaries/examples.ts";
import { findModel } from "../../src/embedder/find-model.ts";
import { resolveHubSettings } from "../../src/server/hub-settings.ts";
import { FULL } from "../support/full.ts";
import { openEmbedder } from "../../src/embedder/onnx-embedder.ts";
import { disagreement, SentenceEmbedder } from "../../src/embedder/sentence-embedder.ts";
import { readTokenizer } from "../../src/embedder/sentence-model.ts";

const SHIPPED = fileURLToPath(new URL("../../models/minilm-wordnet-mp/", import.meta.url));
const FIXTURES = fileURLToPath(new URL("../fixtures/embedder/", import.meta.url));

interface Expected {
  readonly ids: readonly (readonly number[])[];
  readonly rows: readonly (readonly number[])[];
}
const { texts, ...models } = JSON.parse(readFileSync(join(FIXTURES, "expected.json"), "utf8")) as {
  readonly texts: readonly string[];
  readonly cased: Expected;
  readonly uncased: Expected;
};

describe.each(["uncased", "cased"] as const)("the %s model", (name) => {
  const { ids, rows } = models[name];

  it("makes the same tokens, cut at the same length", async () => {
    const embedder = await openEmbedder(join(FIXTURES, name));
    expect(texts.map((text) => embedder.tokensOf(text))).toEqual(ids);
    // A text that is cut, and one without tokens of its own.
    expect(ids.map(({ length }) => length)).toEqual(expect.arrayContaining([24, 2]));
    await embedder.release();
  });

  it("gives the same embeddings within 1e-4", async () => {
    const embedder = await openEmbedder(join(FIXTURES, name));
    for (const [i, text] of texts.entries()) {
      const row = await embedder.embed(text);
      const most = Math.max(...rows[i]!.map((value, at) => Math.abs(value - row[at]!)));
      expect(most, text).toBeLessThan(1e-4);
      expect(row).toHaveLength(rows[i]!.length);
    }
    await embedder.release();
  });
});

const MINILM = "sentence-transformers/all-MiniLM-L6-v2";
const minilm = await findModel(MINILM, {
  embedderDir: process.env["PURSUIT_EMBEDDER_DIR"] ?? "",
  hub: resolveHubSettings(process.env),
}).catch(() => null);
if (minilm === null)
  console.log(`SKIPPED: ${MINILM} is not here; pursuit embedder fetches it, tools/embedder/export_onnx.py makes it.`);

it.runIf(minilm !== null)("embeds the examples of the shipped dictionary as its rows are, within 1e-4", async () => {
  const { rows, texts: sentences } = (await readExamples(SHIPPED, 384))!;
  const embedder = await openEmbedder(minilm!);
  for (const [i, sentence] of sentences.slice(0, FULL ? sentences.length : 8).entries()) {
    const row = await embedder.embed(sentence);
    expect(Math.max(...row.map((value, at) => Math.abs(value - rows[i * 384 + at]!))), sentence).toBeLessThan(1e-4);
  }
  await embedder.release();
});

describe("a model that is not known", () => {
  const settings = { maxTokens: 24, lowerCase: false, pooling: "mean", normalize: true } as const;
  const build = async (inputNames: string[], outputNames: string[]) =>
    new SentenceEmbedder(
      settings,
      await readTokenizer(join(FIXTURES, "cased")),
      { inputNames, outputNames, run: () => Promise.reject(new Error("never run")) },
      () => null,
    );

  it("is refused by the names of its inputs and outputs", async () => {
    await expect(build(["input_ids", "position_ids"], ["last_hidden_state"])).rejects.toThrow(
      "wants position_ids; known inputs are input_ids, attention_mask, token_type_ids.",
    );
    await expect(build(["input_ids"], ["logits"])).rejects.toThrow("gives logits, and neither of last_hidden_state");
  });
});

it("tells a wrong model by a row of the dictionary's examples", () => {
  const row = Float32Array.of(3, 4);
  expect(disagreement("a/b", "text", Float32Array.of(0.6, 0.8), row)).toBeNull();
  expect(disagreement("a/b", "text", Float32Array.of(0.8, 0.6), row)).toMatch(/cosine 0\.960.*Is it a\/b\?/);
});
