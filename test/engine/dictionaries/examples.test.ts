import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readExamples } from "../../../src/engine/dictionaries/examples.ts";
import { encodeSafetensors } from "../../../src/engine/dictionaries/formats/safetensors.ts";
import { temporaryFolder } from "../../support/temporary-folder.ts";

const root = temporaryFolder();
let folders = 0;

function folderOf(texts: string | null, shape: readonly number[], tensor = "rows"): string {
  const folder = join(root, String(folders++));
  mkdirSync(folder);
  const data = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => i);
  writeFileSync(join(folder, "examples.safetensors"), Buffer.concat(encodeSafetensors({ [tensor]: { shape, data } })));
  if (texts !== null) writeFileSync(join(folder, "examples.json"), texts);
  return folder;
}

describe("examples of a dictionary", () => {
  it("are rows and what they are", async () => {
    expect(await readExamples(folderOf('["one", "two"]', [2, 3]), 3)).toEqual({
      rows: Float32Array.of(0, 1, 2, 3, 4, 5),
      texts: ["one", "two"],
    });
  });

  it.each([
    ["there are no texts", folderOf(null, [2, 3])],
    ["the texts are not JSON", folderOf("[", [2, 3])],
    ["the texts are no list", folderOf('{"length": 2}', [2, 3])],
    ["there is a text too few", folderOf('["one"]', [2, 3])],
    ["the rows are of another width", folderOf('["one", "two"]', [2, 4])],
    ["the rows are not rows", folderOf('["one", "two"]', [2, 3, 1])],
    ["the tensor has another name", folderOf('["one", "two"]', [2, 3], "x")],
    ["there is no folder", join(root, "none")],
  ])("are none where %s", async (_why, folder) => {
    expect(await readExamples(folder, 3)).toBeNull();
  });

  it("say why they cannot be used, unless there are none", async () => {
    const warnings: string[] = [];
    const warn = (sentence: string) => warnings.push(sentence);
    await readExamples(folderOf('["one", ', [2, 3]), 3, warn);
    await readExamples(folderOf('["one", "two"]', [2, 4]), 3, warn);
    await readExamples(join(root, "none"), 3, warn);
    expect(warnings).toEqual([
      "examples.json: is cut off: its JSON ends unfinished at line 1, column 8. Examples are not used.",
      expect.stringMatching(/holds rows \[2, 4\]; examples\.json has 2 texts, and rows are 3 wide\./),
    ]);
  });
});
