/** Folders of sentence-embedding models: what they say, and what is refused by name. */
import { cpSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { readSentenceModel } from "../../src/embedder/sentence-model.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";
import { TINY_EMBEDDER } from "../support/tiny-embedder.ts";

/** A copy of the tiny model, with other files. */
function changed(files: Readonly<Record<string, unknown>>): string {
  const folder = temporaryFolder();
  cpSync(TINY_EMBEDDER, folder, { recursive: true });
  for (const [name, value] of Object.entries(files)) {
    if (value === null) rmSync(join(folder, name));
    else writeFileSync(join(folder, name), JSON.stringify(value));
  }
  return folder;
}
const modules = (...kinds: readonly string[]) =>
  kinds.map((kind) => ({ type: `sentence_transformers.models.${kind}` }));

it("reads pooling, length and normalisation", async () => {
  const { settings, onnx } = await readSentenceModel(TINY_EMBEDDER);
  expect(settings).toEqual({ maxTokens: 24, lowerCase: false, pooling: "mean", normalize: true });
  expect(onnx).toBe(join(TINY_EMBEDDER, "onnx", "model.onnx"));
  const other = await readSentenceModel(
    changed({
      "modules.json": modules("Transformer", "Pooling"),
      "1_Pooling/config.json": { pooling_mode: "cls" },
      "sentence_bert_config.json": { do_lower_case: true },
    }),
  );
  // Without max_seq_length the tokenizer's own limit.
  expect(other.settings).toEqual({ maxTokens: 64, lowerCase: true, pooling: "cls", normalize: false });
});

it.each([
  [{ "modules.json": null }, /^modules\.json: is missing in .*: it is not a folder of a sentence-transformers model/],
  [{ "modules.json": modules("Transformer", "Pooling", "Dense") }, /names the modules Transformer, Pooling, Dense;/],
  [{ "modules.json": modules("Transformer") }, /names the modules Transformer; supported are/],
  [{ "1_Pooling/config.json": { pooling_mode_max_tokens: true } }, /pools by max; supported are mean and cls/],
  [
    { "1_Pooling/config.json": { pooling_mode_max_tokens: true, pooling_mode_cls_token: true } },
    /pools by max and cls;/,
  ],
  [{ "1_Pooling/config.json": {} }, /pools by nothing;/],
  [
    { "config_sentence_transformers.json": { default_prompt_name: "query" } },
    /puts the prompt "query" before each text/,
  ],
  [{ "sentence_bert_config.json": {}, "tokenizer_config.json": { model_max_length: 1e30 } }, /says no max_seq_length/],
  [{ "onnx/model.onnx": null }, /^onnx\/model\.onnx: is missing in .*export_onnx\.py/],
])("refuses %o", async (files, expected) => {
  await expect(readSentenceModel(changed(files))).rejects.toThrow(expected);
});
