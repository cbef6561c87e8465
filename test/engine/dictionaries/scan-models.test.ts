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
    writeFileSync(join(models, "README.md"), "not a folder");
    const { dictionaries, misnamed } = await scanModels(models);
    expect(dictionaries).toEqual(["a.1", "a".repeat(128), "b-2", "c"].map((id) => ({ id, folder: join(models, id) })));
    expect(misnamed).toEqual(["_hidden", "a".repeat(129), "with space", "é"]);
  });

  it("names the setting when there is no such folder", async () => {
    await expect(scanModels(join(models, "none"))).rejects.toThrow(
      `The models folder ${join(models, "none")} cannot be read (ENOENT). PURSUIT_MODELS_DIR or --models-dir names another.`,
    );
  });
});
