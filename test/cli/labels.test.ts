/** `pursuit labels` by the built command line. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { FeaturesFile } from "../../src/engine/dictionaries/features-file.ts";
import { writeModelFolder } from "../support/model-folder.ts";
import { callCli } from "../support/call-cli.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

it("adds labels of several sources, and replaces those of one that comes again", async () => {
  const models = temporaryFolder();
  const folder = writeModelFolder(models, "small", { atoms: Float32Array.of(1, 0, 0, 1), d: 2 });
  const file = (name: string, content: unknown): string => {
    writeFileSync(join(models, name), JSON.stringify(content));
    return join(models, name);
  };
  const labels = (...paths: readonly string[]) => callCli(["labels", "small", ...paths, "--models-dir", models]);
  const held = async (): Promise<readonly (readonly [number, string, string])[]> => {
    const features = (await FeaturesFile.open(folder, 2))!;
    const found = [...features.labels()].flatMap(([index, own]) =>
      own.map(({ text, source }) => [index, text, source] as const),
    );
    features.close();
    return found;
  };

  const own = file("labels.json", { "0": { text: "first" } });
  const theirs = file("export.json", [{ index: "1", description: "second", layer: "6-res" }]);
  const added = await labels(own, theirs);
  expect([added.code, added.stderr]).toEqual([0, ""]);
  expect(added.stdout).toContain("labels of 1 of 2 features, from neuronpedia");
  expect(await held()).toEqual([
    [0, "first", "labels.json"],
    [1, "second", "neuronpedia"],
  ]);

  file("export.json", [{ index: "0", description: "another", layer: "6-res" }]);
  expect((await labels(theirs)).code).toBe(0);
  expect(await held()).toEqual([
    [0, "first", "labels.json"],
    [0, "another", "neuronpedia"],
  ]);

  file("export.json", [{ index: "2", description: "of a larger dictionary", layer: "6-res" }]);
  const refused = await labels(theirs);
  expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining("features are 0 to 1")]);
  expect(await held()).toHaveLength(2);
});
