/** `pursuit import --kind orthogonal_matching_pursuit` and `verify` of such a dictionary, against the float64 oracle. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { parseManifest } from "../../src/engine/dictionaries/manifest.ts";
import { NPY_TENSOR, openNpy } from "../../src/engine/dictionaries/formats/npy.ts";
import { npyBytes } from "../support/npy-bytes.ts";
import { itInFull } from "../support/full.ts";
import { orthogonalOracle } from "../support/orthogonal-oracle.ts";
import { callCli } from "../support/call-cli.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

const fixture = fileURLToPath(new URL("../fixtures/imports/mp-sae/", import.meta.url));
const atomsFile = join(fixture, "atoms.npy");
const models = temporaryFolder();
const temporary = temporaryFolder();
const env = { PURSUIT_MODELS_DIR: models };
const [D, M, ATOMS] = [8, 24, 4];
const KIND = ["--from", "atoms", "--kind", "orthogonal_matching_pursuit"];
const REST = [
  "--normalize",
  "identity",
  "--max-atoms",
  `${ATOMS}`,
  "--residual-threshold",
  "0",
  "--input-norm",
  "none",
];

async function read(path: string): Promise<Float32Array> {
  const file = await openNpy(path);
  try {
    return await file.readFloats(NPY_TENSOR);
  } finally {
    await file.close();
  }
}

const SETTINGS = {
  rawScores: false,
  center: false,
  residualThreshold: 0,
  maxAtoms: ATOMS,
  inputNorm: "none",
} as const;

/** A file of the oracle's dense codes of the fixture's rows. */
async function oracleCodes(score: "absolute" | "relu"): Promise<string> {
  const [atoms, rows] = [await read(atomsFile), await read(join(fixture, "x.npy"))];
  const weights = { atoms, center: null, d: D, m: M, settings: { ...SETTINGS, score } };
  const count = rows.length / D;
  const codes = new Float32Array(count * M);
  for (let i = 0; i < count; i++) {
    const x = rows.subarray(i * D, (i + 1) * D);
    const { indices, coefficients } = orthogonalOracle(x, weights, { maxAtoms: ATOMS });
    for (const [k, j] of indices.entries()) codes[i * M + j] = coefficients[k]!;
  }
  const path = join(temporary, `${score}.npy`);
  writeFileSync(path, npyBytes([count, M], [...codes]));
  return path;
}

describe("pursuit import --kind orthogonal_matching_pursuit", () => {
  it.each(["absolute", "relu"] as const)(
    "writes a dictionary whose codes are the oracle's, score %s",
    async (score) => {
      const imported = await callCli(
        ["import", atomsFile, "--id", score, ...KIND, ...REST, "--score", score, "--no-raw-scores"],
        env,
      );
      expect(imported.stdout).toContain("raw_scores");
      const manifest = parseManifest(readFileSync(join(models, score, "dictionary.json"), "utf8"));
      expect(manifest).toMatchObject({
        kind: "orthogonal_matching_pursuit",
        dIn: D,
        dOut: D,
        m: M,
        encoder: { ...SETTINGS, score },
      });
      const z = await oracleCodes(score);
      const verify = (theirs: string) =>
        callCli(["verify", score, "--rows", join(fixture, "x.npy"), "--codes", theirs], env);
      const verified = await verify(z);
      expect(verified.stdout).toMatch(/^16 agreed, 0 undecided, 0 differ, of 16 rows/m);
      expect(verified.code).toBe(0);

      // The official encoder's plain codes of the same rows.
      const plain = await verify(join(fixture, "z.npy"));
      expect(plain.stdout).toMatch(/[1-9]\d* differ/);
      expect(plain.code).toBe(1);
    },
  );

  itInFull("is what a dictionary of plain pursuit is verified as by --encoder orthogonal", async () => {
    const id = "plain";
    await callCli(
      ["import", atomsFile, "--id", id, "--from", "atoms", ...REST, "--score", "relu", "--reselect", "add"],
      env,
    );
    const [x, z] = [join(fixture, "x.npy"), await oracleCodes("relu")];
    const verify = (...flags: string[]) => callCli(["verify", id, "--rows", x, "--codes", z, ...flags], env);
    expect((await verify("--encoder", "orthogonal")).stdout).toMatch(/^16 agreed, 0 undecided, 0 differ, of 16 rows/m);
    const own = await verify();
    expect(own.code).toBe(1);
    expect(own.stdout).toContain("--encoder orthogonal");
    expect(await verify("--encoder", "other")).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/own, matching_pursuit, orthogonal/),
    });
  });

  it.each([
    [[...KIND, ...REST, "--score", "absolute"], /--raw-scores or --no-raw-scores/],
    [[...KIND, ...REST, "--score", "signed", "--raw-scores"], /takes absolute, or relu/],
    [[...KIND, ...REST, "--score", "relu", "--raw-scores", "--reselect", "add"], /--reselect: .* once/],
    [["--from", "atoms", ...REST, "--score", "relu", "--reselect", "add", "--raw-scores"], /leave it out/],
  ])("refuses %j", async (flags, message) => {
    const { code, stderr } = await callCli(["import", atomsFile, "--id", "refused", ...flags], env);
    expect(code).toBe(1);
    expect(stderr).toMatch(message);
  });

  it("gives another kind to bare atoms only", async () => {
    const flags = ["--from", "mp-sae", "--residual-threshold", "0.1", "--kind", "orthogonal_matching_pursuit"];
    const { code, stderr } = await callCli(["import", join(fixture, "weights.npz"), "--id", "refused", ...flags], env);
    expect(code).toBe(1);
    expect(stderr).toMatch(/is of kind matching_pursuit\. Bare atoms/);
  });
});
