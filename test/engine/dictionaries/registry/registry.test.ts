/** The index of published dictionaries that ships, made by tools/registry/generate.ts. */
import { statSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { idOfTarget } from "../../../../src/engine/dictionaries/hub/pull-target.ts";
import { DICTIONARY_ID_PATTERN } from "../../../../src/engine/core/dictionary.ts";
import { layoutOf } from "../../../../src/engine/dictionaries/registry/layouts.ts";
import { Registry, REGISTRY_FILE } from "../../../../src/engine/dictionaries/registry/registry.ts";

const registry = Registry.read();
const { entries } = registry;

describe("the shipped index", () => {
  it("holds every id of SAELens' registry, in less than a megabyte", () => {
    expect(registry.source).toBe("sae-lens 6.54.12");
    expect(new Set(entries.map(({ release }) => release)).size).toBe(170);
    expect(entries.length).toBe(13_857);
    expect(new Set(entries.map(({ name }) => name)).size).toBe(13_857);
    expect(statSync(REGISTRY_FILE).size).toBeLessThan(1 << 20);
  });

  it("has the counts by kind that the files' layouts have", () => {
    const counts: Record<string, number> = {};
    for (const { kind, layout } of entries) counts[`${layout} ${kind}`] = (counts[`${layout} ${kind}`] ?? 0) + 1;
    expect(counts).toEqual({
      "gemma_3 jumprelu": 5208,
      "gemma_3 jumprelu skip transcoder": 1794,
      "gemma_3 jumprelu transcoder": 1782,
      "gemma_2 jumprelu": 2833,
      "gemma_2_transcoder jumprelu transcoder": 26,
      "qwen_scope topk": 544,
      "dictionary_learning_1 relu": 406,
      "dictionary_learning_1 topk": 354,
      "dictionary_learning_1 gated": 40,
      "dictionary_learning_1 jumprelu": 18,
      "dictionary_learning_1 jumprelu or topk": 20,
      "mwhanna_transcoder relu transcoder": 208,
      "llama_scope jumprelu": 192,
      "llama_scope_r1_distill jumprelu": 96,
      "sae_lens jumprelu": 116,
      "sae_lens topk": 96,
      "sae_lens relu": 79,
      "sae_lens gated": 1,
      "mntss_clt_layer_transcoder relu transcoder": 26,
      "connor_rob_hook_z relu": 12,
      "temporal temporal": 3,
      "goodfire relu": 2,
      "deepseek_r1 relu": 1,
    });
  });

  it("has factors, overrides and Neuronpedia's ids where the registry has them", () => {
    expect(entries.filter(({ normFactor }) => normFactor !== undefined)).toHaveLength(304);
    expect(entries.filter(({ neuronpedia }) => neuronpedia !== undefined)).toHaveLength(2441);
    expect(registry.find("gemma-2b-res-jb/blocks.12.hook_resid_post")!.normFactor).toBeCloseTo(0.2138, 4);
    expect(registry.find("mistral-7b-res-wg/blocks.8.hook_resid_pre")!.overrides).toEqual({
      normalize_activations: "constant_norm_rescale",
    });
    expect(registry.find("gpt2-small-resid-post-v5-32k/blocks.0.hook_resid_post")).toMatchObject({
      repo: "jbloom/GPT2-Small-OAI-v5-32k-resid-post-SAEs",
      path: "v5_32k_layer_0.pt",
      model: "gpt2-small",
      l0: 32,
      neuronpedia: "gpt2-small/0-res_post_32k-oai",
    });
  });

  it("gives every dictionary files, and an id of its own to be served by", () => {
    const ids = new Set<string>();
    for (const entry of entries) {
      const { required, optional, open } = layoutOf(entry).files(entry);
      expect(
        [...required, ...optional, ...(open === "" ? [] : [open])].filter(
          (path) => !/^[^/\\][^\\]*$/.test(path) || /(?:^|\/)\.\.?(?:\/|$)/.test(path),
        ),
      ).toEqual([]);
      const id = idOfTarget({ repo: entry.repo, revision: "main", path: entry.path, entry });
      expect(id).toMatch(new RegExp(DICTIONARY_ID_PATTERN));
      ids.add(id);
    }
    expect(ids.size).toBe(entries.length);
  });
});

describe("nearest", () => {
  it.each([
    [
      "gemma-scope-2b-pt-res-canonical/layer_12/width_16k/cannonical",
      "gemma-scope-2b-pt-res-canonical/layer_12/width_16k/canonical",
    ],
    [
      "gemma-scope-2b-pt-re-canonical/layer_12/width_16k/canonical",
      "gemma-scope-2b-pt-res-canonical/layer_12/width_16k/canonical",
    ],
    ["gpt2-small-resjb", "gpt2-small-res-jb/blocks.0.hook_resid_pre"],
  ])("of %s has %s", (name, expected) => expect(registry.nearest(name)).toContain(expected));
});
