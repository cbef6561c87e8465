import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FormatError } from "../../../../src/engine/catalog/formats/format-error.ts";
import { openNpz } from "../../../../src/engine/catalog/formats/npz.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

const fixtures = new URL("../../../fixtures/imports/", import.meta.url);
const stored = new URL("mp-sae/weights.npz", fixtures).pathname;
const deflated = new URL("overcomplete-identity/weights.npz", fixtures).pathname;
const folder = temporaryFolder();
let files = 0;

async function readAll(path: string): Promise<Record<string, Float32Array>> {
  const file = await openNpz(path);
  try {
    const all: Record<string, Float32Array> = {};
    for (const name of file.tensors.keys()) all[name] = await file.readFloats(name);
    return all;
  } finally {
    await file.close();
  }
}

describe("a .npz file", () => {
  it("is read whether numpy stored or compressed it", async () => {
    expect((await readAll(stored))["W"]!.length).toBe(24 * 8);
    const all = await readAll(deflated);
    expect(Object.keys(all)).toEqual(["dictionary._weights", "dictionary.multiplier"]);
    expect([...all["dictionary.multiplier"]!]).toEqual([-0.25]);
  });

  it("names what it holds when something else is asked for", async () => {
    const file = await openNpz(stored);
    await expect(file.readFloats("b")).rejects.toThrow('holds no array "b"; it holds W.');
    await file.close();
  });

  it.each([stored, deflated])(
    "cut short or changed in any byte ends in a fault of the format, or is read",
    async (path) => {
      const whole = new Uint8Array(readFileSync(path));
      await fc.assert(
        fc.asyncProperty(fc.nat(whole.length - 1), fc.nat(255), fc.boolean(), async (at, byte, cut) => {
          const damaged = join(folder, `${files++}.npz`);
          writeFileSync(damaged, cut ? whole.slice(0, at) : whole.with(at, byte));
          const outcome: unknown = await readAll(damaged).catch((error: unknown) => error);
          if (outcome instanceof Error) expect(outcome).toBeInstanceOf(FormatError);
        }),
        { seed: 3, numRuns: 150 },
      );
    },
  );
});
