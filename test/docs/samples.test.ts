/** Samples that name the version of a shipped dictionary: they go out of date when its weights or settings change. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { readLabels } from "../../src/engine/dictionaries/labels.ts";
import { readManifest } from "../../src/engine/dictionaries/manifest.ts";
import { loadWeights } from "../../src/engine/dictionaries/weights.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

async function versionOf(id: string): Promise<string> {
  const folder = join(ROOT, "models", id);
  return (await loadWeights(folder, await readManifest(folder))).sha256;
}

it("README shows the sha256 of the shipped dictionary, and the file that its first request is in", async () => {
  const sha256 = await versionOf("minilm-wordnet-mp");
  const readme = readFileSync(join(ROOT, "README.md"), "utf8");
  expect(readme).toContain(`"sha256": "${sha256}"`);
  expect(readme).toContain(`@.cache/try-minilm-wordnet-mp-${sha256.slice(0, 12)}.json`);
});

it.each(["minilm-wordnet-mp", "minilm-wordnet-topk"])("labels of %s belong to its version", async (id) => {
  const labels = await readLabels(join(ROOT, "models", id), 4096);
  expect(labels).toMatchObject({ sha256: await versionOf(id), warnings: [] });
});
