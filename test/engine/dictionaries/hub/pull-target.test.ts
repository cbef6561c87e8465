import { describe, expect, it } from "vitest";
import { idOfTarget, parseTarget } from "../../../../src/engine/dictionaries/hub/pull-target.ts";
import { Registry } from "../../../../src/engine/dictionaries/registry/registry.ts";

const registry = Registry.read();
const parse = (given: string, revision?: string) => parseTarget(given, registry, revision);
const GEMMA = "gemma-scope-2b-pt-res-canonical/layer_12/width_16k/canonical";

describe("parseTarget", () => {
  it.each([
    ["hf://me/mine", "main", ""],
    ["hf://me/mine/", "main", ""],
    ["hf://me/mine/a/b.pt", "main", "a/b.pt"],
    ["hf://me/mine@v1/a", "v1", "a"],
    ["hf://me/mine@refs%2Fpr%2F1/a", "refs/pr/1", "a"],
  ])("reads %s", (given, revision, path) => expect(parse(given)).toEqual({ repo: "me/mine", revision, path }));

  it("reads a name of the registry, and takes --revision for both", () => {
    expect(parse(GEMMA)).toMatchObject({
      repo: "google/gemma-scope-2b-pt-res",
      revision: "main",
      path: "layer_12/width_16k/average_l0_82",
      entry: { name: GEMMA },
    });
    expect(parse(GEMMA, "v2").revision).toBe("v2");
    expect(parse("hf://me/mine/a", "v2").revision).toBe("v2");
  });

  it.each([
    ["hf://me", "names no repository"],
    ["hf://me/mine@a@b/c", "names no repository"],
    ["hf://datasets/me/mine", "model repositories"],
    ["hf://me/mine/a/../../b", "may not hold"],
    ["hf://me/mine/a//b", "may not hold"],
    ["hf://me/mine@..%2F..%2Fetc/a", "is no revision"],
    ["hf://me/mine@%zz/a", "cannot be decoded"],
    [
      "gemma-scope-2b-pt-res-canonical/layer_12/width_16k/cannonical",
      `has no layer_12/width_16k/cannonical. Near it are:\n  ${GEMMA}`,
    ],
    ["gemma-scope-2b-pt-res-canonical", "is a release of several dictionaries"],
    ["no-such-thing", "is not in the registry"],
    ["temporal-sae-gemma-2-2b/blocks.12.hook_resid_post", "is not served"],
  ])("refuses %s", (given, said) => expect(() => parse(given)).toThrow(said));

  it("refuses two revisions", () => expect(() => parse("hf://me/mine@v1/a", "v2")).toThrow("Leave one of them out"));
});

describe("idOfTarget", () => {
  it.each([
    [GEMMA, "gemma-scope-2b-pt-res-canonical-layer_12-width_16k-canonical"],
    ["hf://me/mine", "mine"],
    ["hf://me/mine/a/layer 3.safetensors", "mine-a-layer-3"],
  ])("of %s is %s", (given, id) => expect(idOfTarget(parse(given))).toBe(id));
});
