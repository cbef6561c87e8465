import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { scanModels } from "../../../src/engine/dictionaries/scan-models.ts";
import { temporaryFolder } from "../../support/temporary-folder.ts";

const models = temporaryFolder();

describe("scanModels", () => {
  it("finds folders and links to folders by name, and says which names no path could hold", async () => {
    for (const name of ["b-2", "a.1", ".b-2.partial", "with space", "_hidden", "é", "a".repeat(128), "a".repeat(129)]) {
      mkdirSync(join(models, name));
    }
    symlinkSync(join(models, "a.1"), join(models, "c"));
    writeFileSync(join(models, "plain.md"), "not a folder");
    const { dictionaries, warnings } = await scanModels(models);
    expect(dictionaries).toEqual(["a.1", "a".repeat(128), "b-2", "c"].map((id) => ({ id, folder: join(models, id) })));
    expect(warnings).toEqual(
      ["_hidden", "a".repeat(129), "with space", "é"].map((name) =>
        expect.stringContaining(
          `The folder ${name} in ${models} is not served: its name is not a valid dictionary id.`,
        ),
      ),
    );
  });

  it("passes over links to files, as a snapshot of Hugging Face has, and folders of the file system", async () => {
    const snapshot = temporaryFolder();
    for (const name of ["one", "lost+found", ".cache", "__pycache__"]) mkdirSync(join(snapshot, name));
    writeFileSync(join(snapshot, "plain.md"), "");
    symlinkSync(join(snapshot, "plain.md"), join(snapshot, "README.md"));
    expect(await scanModels(snapshot)).toEqual({
      dictionaries: [{ id: "one", folder: join(snapshot, "one") }],
      warnings: [],
    });
  });

  it("says that a link leads nowhere", async () => {
    const broken = temporaryFolder();
    symlinkSync(join(broken, "gone"), join(broken, "one"));
    const { dictionaries, warnings } = await scanModels(broken);
    expect(dictionaries).toEqual([]);
    expect(warnings).toEqual([
      expect.stringMatching(/^one in .* cannot be read \(ENOENT\)\. Is it a link to nowhere\?$/),
    ]);
  });

  it("names the setting when there is no such folder", async () => {
    await expect(scanModels(join(models, "none"))).rejects.toThrow(
      `The models folder ${join(models, "none")} cannot be read (ENOENT). PURSUIT_MODELS_DIR or --models-dir names another.`,
    );
  });
});
