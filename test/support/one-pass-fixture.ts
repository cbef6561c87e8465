import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { SparseCodes } from "../../src/engine/core/sparse-codes.ts";
import { NPY_TENSOR, openNpy } from "../../src/engine/dictionaries/formats/npy.ts";
import type { ImportFlags } from "../../src/engine/dictionaries/importing/import-flags.ts";
import { understand } from "../../src/engine/dictionaries/importing/understand.ts";
import { compareCode, type Verdict } from "../../src/engine/dictionaries/verify/compare-code.ts";
import { servedCodes } from "../../src/engine/dictionaries/verify/step-margins.ts";
import type { OnePassWeights } from "../../src/engine/encoders/one-pass.ts";
import { createEncoderSession } from "../../src/engine/runtime/sessions/create-session.ts";
import { batchOf } from "./batch.ts";

export const FIXTURES = fileURLToPath(new URL("../fixtures/", import.meta.url));

/** One-pass dictionaries as their publishers save them (tools/fixtures/make_one_pass.py, make_published.py, make_layered.py), by their folders. */
export const ONE_PASS_FIXTURES: readonly string[] = ["one-pass", "published", "layered"]
  .flatMap((root) =>
    readdirSync(join(FIXTURES, root), { recursive: true, encoding: "utf8" }).map((path) => join(root, path)),
  )
  .filter((path) => path.endsWith("library.json"))
  .map((path) => dirname(path))
  .toSorted();

/** A fixture, imported, with the library's own rows x [n, d_in], codes z [n, m] and outputs y [n, d_out]. */
export async function readFixture(name: string) {
  const folder = join(FIXTURES, name);
  const { library, kind, role, file, flags } = JSON.parse(readFileSync(join(folder, "library.json"), "utf8")) as {
    readonly library: string;
    readonly kind?: string;
    readonly role?: string;
    /** The file to import, where the layout is no folder. */
    readonly file?: string;
    readonly flags?: ImportFlags;
  };
  const { weights, groups = [] } = await understand(join(folder, file ?? ""), flags ?? {});
  const [x, z, y] = await Promise.all(["x", "z", "y"].map((array) => matrix(join(folder, `${array}.npy`))));
  return { name, library, kind, role, weights: weights as OnePassWeights, groups, x: x!, z: z!, y: y! };
}

type OnePassFixture = Awaited<ReturnType<typeof readFixture>>;

/** Encodes a fixture's rows. The session must be released. */
export async function encodeFixture({ weights, x }: OnePassFixture) {
  const session = await createEncoderSession(weights, { runtime: "cpu", path: "residual", threads: 1 });
  const { dIn, m } = weights;
  const codes = await session.encode({ ...batchOf(x, dIn, { maxAtoms: m }), reconstruction: true });
  return { session, codes };
}

/** Each code of a fixture's rows against the library's own [n, m]. */
export const verdictsOf = (
  { weights, x }: OnePassFixture,
  codes: SparseCodes,
  theirs: Float32Array,
): readonly Verdict[] => {
  const { dIn, m } = weights;
  return servedCodes(codes).map((code, i) =>
    compareCode(code, x.subarray(i * dIn, (i + 1) * dIn), theirs.subarray(i * m, (i + 1) * m), weights),
  );
};

/** The numbers of an .npy file. */
export async function matrix(path: string): Promise<Float32Array> {
  const file = await openNpy(path);
  try {
    return await file.readFloats(NPY_TENSOR);
  } finally {
    await file.close();
  }
}
