/**
 * One-pass dictionaries as their publishers save them (tools/fixtures/make_one_pass.py, make_published.py), imported and
 * encoded, against the library's own codes and outputs. Prints how many rows agree, are undecided and differ.
 */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { type SparseCodes, STOP_REASONS } from "../../src/engine/core/sparse-codes.ts";
import { NPY_TENSOR, openNpy } from "../../src/engine/dictionaries/formats/npy.ts";
import type { ImportFlags } from "../../src/engine/dictionaries/importing/import-flags.ts";
import { understand } from "../../src/engine/dictionaries/importing/understand.ts";
import { compareCode } from "../../src/engine/dictionaries/verify/compare-code.ts";
import { servedCodes } from "../../src/engine/dictionaries/verify/served-code.ts";
import type { OnePassWeights } from "../../src/engine/encoders/one-pass.ts";
import { createEncoderSession } from "../../src/engine/runtime/sessions/create-session.ts";
import { batchOf } from "../support/batch.ts";

const fixtures = fileURLToPath(new URL("../fixtures/", import.meta.url));
const folders = ["one-pass", "published"]
  .flatMap((root) =>
    readdirSync(join(fixtures, root), { recursive: true, encoding: "utf8" }).map((path) => join(root, path)),
  )
  .filter((path) => path.endsWith("library.json"))
  .map((path) => dirname(path))
  .toSorted();

async function matrix(path: string): Promise<Float32Array> {
  const file = await openNpy(path);
  try {
    return await file.readFloats(NPY_TENSOR);
  } finally {
    await file.close();
  }
}

const figures = new Map<string, { agreed: number; undecided: number; differs: number }>();
afterAll(() => {
  const lines = Array.from(
    figures,
    ([library, { agreed, undecided, differs }]) =>
      `| ${library} | ${agreed} | ${undecided} | ${differs} | ${agreed + undecided + differs} |`,
  );
  console.log(
    ["| library | agreed | undecided | differ | rows |", "| --- | ---: | ---: | ---: | ---: |", ...lines].join("\n"),
  );
});

it("finds the fixtures", () => expect(folders.length).toBeGreaterThanOrEqual(110));

describe.each(folders)("%s", async (name) => {
  const folder = join(fixtures, name);
  const {
    library,
    kind,
    file = "",
    flags = {},
  } = JSON.parse(readFileSync(join(folder, "library.json"), "utf8")) as {
    readonly library: string;
    readonly kind?: string;
    /** The file to import, where the layout is no folder. */
    readonly file?: string;
    readonly flags?: ImportFlags;
  };
  const { weights: read, groups = [] } = await understand(join(folder, file), flags);
  const weights = read as OnePassWeights;
  const { dIn, d, m, role, tensors } = weights;
  const [x, z, y] = await Promise.all(["x", "z", "y"].map((array) => matrix(join(folder, `${array}.npy`))));
  const count = x!.length / dIn;
  const session = await createEncoderSession(weights, { runtime: "cpu", path: "residual", threads: 1 });
  afterAll(() => session.release());
  const codes = await session.encode({ ...batchOf(x!, dIn, { maxAtoms: m }), reconstruction: true });

  it("has the library's codes wherever float32 decides", () => checkCodes(codes, z!));

  it("has the library's outputs", () => checkOutputs(codes, y!));

  it.each(groups.filter((group) => group < m))(
    "has the library's codes and outputs of the first %i atoms",
    async (group) => {
      const [theirs, outputs] = await Promise.all(
        ["z", "y"].map((array) => matrix(join(folder, `${array}-${group}.npy`))),
      );
      const nested = await session.encode({ ...batchOf(x!, dIn, { maxAtoms: m, group }), reconstruction: true });
      checkCodes(nested, theirs!);
      await checkOutputs(nested, outputs!);
    },
  );

  function checkCodes(given: SparseCodes, theirs: Float32Array): void {
    const seen = figures.get(library) ?? { agreed: 0, undecided: 0, differs: 0 };
    figures.set(library, seen);
    for (const [i, code] of servedCodes(given).entries()) {
      const row = x!.subarray(i * dIn, (i + 1) * dIn);
      const verdict = compareCode(code, row, theirs.subarray(i * m, (i + 1) * m), weights);
      seen[verdict.kind]++;
      expect(verdict.kind, `row ${i}: ${JSON.stringify(verdict)}`).not.toBe("differs");
      expect(STOP_REASONS[given.stops[i]!]).toBe("active_end");
    }
    expect(seen.agreed).toBeGreaterThan(0);
  }

  async function checkOutputs(given: SparseCodes, theirs: Float32Array): Promise<void> {
    const decoded = await session.decode({ ...given, ...("skip" in tensors && { inputs: x! }) });
    for (let i = 0; i < count; i++) {
      const row = theirs.subarray(i * d, (i + 1) * d);
      const largest = Math.max(1, ...row.map(Math.abs));
      for (const [c, value] of row.entries()) {
        expect(Math.abs(decoded[i * d + c]! - value)).toBeLessThanOrEqual(2e-5 * largest);
        expect(Math.abs(given.reconstruction![i * d + c]! - value)).toBeLessThanOrEqual(2e-5 * largest);
      }
    }
  }

  it("is of the kind that its publisher has and the role that its folder says", () => {
    if (kind !== undefined) expect(weights.kind).toBe(kind);
    expect(role).toBe(/transcoder/.test(relative(fixtures, folder)) ? "transcoder" : "autoencoder");
  });
});
