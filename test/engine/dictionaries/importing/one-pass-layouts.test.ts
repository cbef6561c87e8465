/** Published one-pass layouts: files that contradict each other, lack something or hold more are refused by name. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { ImportFlags } from "../../../../src/engine/dictionaries/importing/import-flags.ts";
import { understand } from "../../../../src/engine/dictionaries/importing/understand.ts";
import { ImportFolders, type Shapes, tensorsOf } from "../../../support/import-folder.ts";

const folders = new ImportFolders();
type Refusal = readonly [what: string, path: () => string, flags: ImportFlags, said: RegExp];

const LINEAR: Shapes = { "encoder.weight": [6, 4], "encoder.bias": [6], "decoder.weight": [4, 6] };
const dictionaryLearning = (trainer: object, shapes: Shapes): string =>
  folders.of({
    "config.json": JSON.stringify({ trainer: { activation_dim: 4, dict_size: 6, ...trainer } }),
    "ae.safetensors": tensorsOf(shapes),
  });

const DICTIONARY_LEARNING: readonly Refusal[] = [
  [
    "a class that import does not read",
    () => dictionaryLearning({ dict_class: "CrossCoder" }, { ...LINEAR, bias: [4] }),
    {},
    /config\.json trainer: dict_class is "CrossCoder"; import reads AutoEncoder, /,
  ],
  [
    "no class and no widths, all at once",
    () => folders.of({ "config.json": '{"trainer": {}}', "ae.safetensors": tensorsOf(LINEAR) }),
    {},
    /dict_class is missing(.|\n)*activation_dim is missing(.|\n)*dict_size is missing/,
  ],
  [
    "no trainer",
    () => folders.of({ "config.json": "{}", "ae.safetensors": tensorsOf(LINEAR) }),
    {},
    /config\.json: trainer is missing/,
  ],
  ["no config", () => folders.of({ "ae.safetensors": tensorsOf(LINEAR) }), {}, /ae\.safetensors but no config\.json/],
  [
    "widths other than the weights'",
    () => dictionaryLearning({ dict_class: "AutoEncoder", dict_size: 7 }, { ...LINEAR, bias: [4] }),
    {},
    /ae\.safetensors.*encoder\.weight is \[6, 4\]; it should be \[7, 4\]/,
  ],
  [
    "the weights of another class",
    () => dictionaryLearning({ dict_class: "AutoEncoder" }, { ...LINEAR, "decoder.bias": [4] }),
    {},
    /holds no tensor bias \[4\]/,
  ],
  [
    "a tensor that the class does not save",
    () => dictionaryLearning({ dict_class: "AutoEncoder" }, { ...LINEAR, bias: [4], r_mag: [6] }),
    {},
    /holds r_mag, which dictionary_learning's AutoEncoder does not save/,
  ],
  [
    "a threshold of each atom where the class has one for all",
    () => dictionaryLearning({ dict_class: "BatchTopKSAE", k: 2 }, { ...LINEAR, b_dec: [4], threshold: [6] }),
    {},
    /threshold is \[6\]; it should be \[\]/,
  ],
  [
    "topk without a k",
    () => dictionaryLearning({ dict_class: "AutoEncoderTopK" }, { ...LINEAR, b_dec: [4] }),
    {},
    /hold no k\. Add trainer\.k/,
  ],
  [
    "a flag of a pursuit",
    () => dictionaryLearning({ dict_class: "AutoEncoder" }, { ...LINEAR, bias: [4] }),
    { maxAtoms: 3 },
    /--max-atoms: a dictionary of dictionary_learning has an encoder of its own/,
  ],
  [
    "a role that the layout lacks",
    () => dictionaryLearning({ dict_class: "AutoEncoder" }, { ...LINEAR, bias: [4] }),
    { role: "transcoder" },
    /--role transcoder: dictionary_learning saves autoencoders/,
  ],
];

describe("dictionary_learning refuses", () => {
  it.each(DICTIONARY_LEARNING)("%s", async (_what, path, flags, said) => {
    await expect(understand(path(), flags)).rejects.toThrow(said);
  });
});

describe("dictionary_learning", () => {
  const topkFixture = new URL("../../../fixtures/one-pass/dictionary-learning-topk/", import.meta.url).pathname;

  it("takes a k that config and weights agree on, and refuses two", async () => {
    const taken = await understand(topkFixture, {});
    expect(taken.weights.settings).toMatchObject({ k: 5, subtractCenter: true });
    expect(taken.defaultBudget).toEqual({ maxAtoms: 5 });
    expect(taken.provenance).toMatchObject({ class: "AutoEncoderTopK", hook_name: "resid_post_layer_3" });
    const config = readFileSync(join(topkFixture, "config.json"), "utf8");
    const other = folders.of({
      "ae.pt": readFileSync(join(topkFixture, "ae.pt")),
      "config.json": config.replace('"k": 5', '"k": 6'),
    });
    await expect(understand(other, {})).rejects.toThrow(/ae\.pt: k is 5, but trainer\.k in config\.json is 6/);
  });

  it("says which norms are served, and when a threshold was never set", async () => {
    const plain = await understand(dictionaryLearning({ dict_class: "AutoEncoder" }, { ...LINEAR, bias: [4] }), {});
    expect(plain.notes.join()).toMatch(/stored norms.*from_pretrained rescales/);
    const never = new URL("../../../fixtures/one-pass/dictionary-learning-batch-topk-never-set/", import.meta.url);
    const { weights, notes } = await understand(never.pathname, {});
    expect(weights.kind).toBe("relu");
    expect(notes.join()).toMatch(/threshold is -1: training never set it/);
  });
});
