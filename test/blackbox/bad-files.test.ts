/** A models folder as people and their tools leave it: one bad file costs no dictionary but its own. */
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type Encoded, get, post } from "../support/client.ts";
import { writeModelFolder } from "../support/model-folder.ts";
import { startServer } from "../support/running-server.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

interface Listed {
  readonly dictionaries: readonly { readonly id: string; readonly state: string; readonly warnings: string[] }[];
}

const AXES = { atoms: Float32Array.of(1, 0, 0, 1), d: 2, settings: { maxAtoms: 2 } };
const POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 812\n";

describe("a models folder with bad files in it", () => {
  it("is served but for what is bad, and each fault is named", async () => {
    const models = temporaryFolder();
    // A manifest with a byte order mark and NaN, labels cut off, texts of examples that are a pointer.
    const odd = writeModelFolder(models, "odd", AXES);
    const manifest = readFileSync(join(odd, "dictionary.json"), "utf8");
    writeFileSync(join(odd, "dictionary.json"), `\uFEFF${manifest.replace('"made for a test"', "NaN")}`);
    writeFileSync(join(odd, "labels.json"), '{"0": {"text": "a bird"}, "1": {"te');
    writeFileSync(join(odd, "examples.json"), POINTER);
    const labelled = writeModelFolder(models, "labelled", AXES);
    writeFileSync(join(labelled, "labels.json"), '{"0": {"text": "a bird", "score": NaN}, "9": {"text": "beyond"}}');
    const pointer = writeModelFolder(models, "pointer", AXES);
    writeFileSync(join(pointer, "weights.safetensors"), POINTER);
    mkdirSync(join(models, "lost+found"));
    writeFileSync(join(models, ".hidden"), "");
    symlinkSync(join(models, ".hidden"), join(models, "README.md"));

    const server = await startServer(models, temporaryFolder(), {
      PURSUIT_LOG_LEVEL: "warn\r",
      PURSUIT_MAX_ROWS: "9\r",
    });
    try {
      const { dictionaries } = await get<Listed>(server.base, "/v1/dictionaries");
      const by = Object.fromEntries(dictionaries.map((one) => [one.id, one]));
      expect(dictionaries.map(({ id, state }) => `${id} ${state}`).toSorted()).toEqual([
        "labelled ready",
        "odd ready",
        "pointer failed",
      ]);
      expect(by["odd"]!.warnings).toEqual([
        expect.stringMatching(/^dictionary\.json: provenance\.data is NaN \(line \d+, column \d+\)/),
        expect.stringMatching(/^labels\.json: is cut off/),
      ]);
      expect(by["labelled"]!.warnings).toEqual([
        expect.stringMatching(/1 entries are left out \("9"\)/),
        expect.stringMatching(/1 fields are left out \("0"\.score\)/),
      ]);
      expect(server.log()).toMatch(/pointer could not be loaded: .*is a git-lfs pointer.*git lfs pull/);
      expect(server.log()).not.toMatch(/lost\+found|README/);
      const encoded = await post<Encoded>(server.base, "/v1/dictionaries/labelled/encode", {
        inputs: [[3, 1]],
        budget: { max_atoms: 1 },
        include: ["labels"],
      });
      expect(encoded.codes[0]).toMatchObject({ indices: [0], labels: ["a bird"] });
    } finally {
      await server.stop();
    }
  });
});
