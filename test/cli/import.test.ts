/** `pursuit import` and `verify` over dictionaries that their own libraries saved (tools/fixtures/make_imports.py). */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { cp } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { parseManifest } from "../../src/engine/dictionaries/manifest.ts";
import { npyBytes } from "../support/npy-bytes.ts";
import { FULL, itInFull } from "../support/full.ts";
import { callCli } from "../support/call-cli.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

const fixtures = fileURLToPath(new URL("../fixtures/imports/", import.meta.url));
const models = temporaryFolder();
const temporary = temporaryFolder();
const env = { PURSUIT_MODELS_DIR: models };

interface Case {
  readonly name: string;
  readonly file?: string;
  readonly flags?: readonly string[];
  readonly encoder: object;
  /** What the file has of a cap of its own. */
  readonly defaultBudget?: object;
}

const OVERCOMPLETE = {
  score: "signed",
  reselect: "add",
  center: false,
  residualThreshold: 0,
  maxAtoms: 5,
  inputNorm: "none",
};
const overcomplete = (normalization: string, file: string): Case => ({
  name: `overcomplete-${normalization}`,
  file,
  flags: ["--from", "overcomplete", "--normalize", normalization, "--max-atoms", "5"],
  encoder: OVERCOMPLETE,
});
const SAE_LENS = {
  score: "relu",
  reselect: "stop",
  center: true,
  residualThreshold: 0.01,
  maxAtoms: 8,
  inputNorm: "none",
};
const OFFICIAL = {
  score: "relu",
  reselect: "stop",
  center: false,
  residualThreshold: 0.1,
  maxAtoms: null,
  inputNorm: "none",
};

const TOPK = { k: 5, center: true, subtractCenter: true, inputNorm: "none" };

const CASES: readonly Case[] = [
  { name: "sae-lens-topk", encoder: TOPK, defaultBudget: { maxAtoms: 5 } },
  {
    name: "sae-lens-topk-rescaled",
    encoder: { ...TOPK, subtractCenter: false, scaleByDecoderNorm: true },
    defaultBudget: { maxAtoms: 5 },
  },
  { name: "sparsify-topk", encoder: TOPK, defaultBudget: { maxAtoms: 5 } },
  { name: "sae-lens-default", encoder: SAE_LENS },
  {
    name: "sae-lens-fixed",
    encoder: { ...SAE_LENS, reselect: "add", residualThreshold: 0, maxAtoms: 6 },
    defaultBudget: { maxAtoms: 6 },
  },
  { name: "sae-lens-uncentred", encoder: { ...SAE_LENS, center: false, residualThreshold: 0.5 } },
  { name: "sae-lens-layer-norm", encoder: { ...SAE_LENS, inputNorm: "layer_norm" } },
  overcomplete("l2", "weights.safetensors"),
  overcomplete("max_l2", "weights.npz"),
  overcomplete("l1", "weights.safetensors"),
  overcomplete("max_l1", "weights.npz"),
  overcomplete("identity", "weights.npz"),
  {
    name: "mp-sae",
    file: "weights.npz",
    flags: ["--from", "mp-sae", "--residual-threshold", "0.1"],
    encoder: OFFICIAL,
  },
];

/** Those verified by the command line. What the others encode test/contract checks. */
const VERIFIED = new Set(FULL ? CASES.map(({ name }) => name) : ["sae-lens-default", "mp-sae"]);

describe("pursuit import", () => {
  it.each(CASES)(
    "understands $name, and its codes are then the library's own",
    async ({ name, file = "", flags = [], encoder, defaultBudget }) => {
      const folder = join(fixtures, name);
      const imported = await callCli(["import", join(folder, file), "--id", name, ...flags], env);
      expect(imported).toMatchObject({ code: 0, stderr: "" });
      const manifest = parseManifest(readFileSync(join(models, name, "dictionary.json"), "utf8"));
      expect(manifest).toMatchObject({ id: name, dIn: 8, dOut: 8, m: 24, encoder });
      expect(manifest.defaultBudget).toEqual(defaultBudget);

      if (!VERIFIED.has(name)) return;
      const verified = await callCli(
        ["verify", name, "--rows", join(folder, "x.npy"), "--codes", join(folder, "z.npy")],
        env,
      );
      expect(verified).toMatchObject({ code: 0, stderr: "" });
      expect(verified.stdout).toMatch(/^\d+ agreed, \d+ undecided, 0 differ, of 16 rows\.$/m);
    },
  );

  itInFull("keeps the file's cap as the default budget where a flag lifts it", async () => {
    const folder = join(fixtures, "sae-lens-fixed");
    const imported = await callCli(["import", folder, "--id", "lifted", "--max-atoms", "none"], env);
    expect(imported).toMatchObject({ code: 0, stderr: "" });
    expect(imported.stdout).toMatch(/^ {2}default_budget +\{"max_atoms":6\} +of rows without a budget$/m);
    expect(imported.stdout).not.toMatch(/warning/);
    const manifest = parseManifest(readFileSync(join(models, "lifted", "dictionary.json"), "utf8"));
    expect(manifest).toMatchObject({ encoder: { maxAtoms: null }, defaultBudget: { maxAtoms: 6 } });
  });

  itInFull("warns where nothing caps a row without a budget", async () => {
    const imported = await callCli(
      [
        "import",
        join(fixtures, "mp-sae", "weights.npz"),
        "--id",
        "open",
        "--from",
        "mp-sae",
        "--residual-threshold",
        "0",
      ],
      env,
    );
    expect(imported.stdout).toMatch(/warning: dictionary\.json has neither default_budget nor encoder\.max_atoms/);
  });

  it("takes bare atoms, column-major float64, once everything is said", async () => {
    const atoms = join(fixtures, "mp-sae", "atoms.npy");
    const asked = await callCli(["import", atoms, "--id", "bare", "--from", "atoms"], env);
    expect(asked.code).toBe(1);
    for (const flag of [
      "--normalize",
      "--score",
      "--reselect",
      "--residual-threshold",
      "--max-atoms",
      "--input-norm",
    ]) {
      expect(asked.stderr).toContain(`  ${flag} `);
    }
    const said =
      "--normalize identity --score relu --reselect stop --residual-threshold 0.1 --max-atoms none --input-norm none";
    expect(await callCli(["import", atoms, "--id", "bare", "--from", "atoms", ...said.split(" ")], env)).toMatchObject({
      code: 0,
    });
    const weights = (id: string): Buffer => readFileSync(join(models, id, "weights.safetensors"));
    expect(weights("bare")).toEqual(weights("mp-sae"));
  });

  itInFull("takes a torch checkpoint, and its weights are those of the other file", async () => {
    const file = join(fixtures, "mp-sae", "weights.pt");
    const imported = await callCli(
      ["import", file, "--id", "checkpoint", "--from", "mp-sae", "--residual-threshold", "0.1"],
      env,
    );
    expect(imported).toMatchObject({ code: 0, stderr: "" });
    const weights = (id: string): Buffer => readFileSync(join(models, id, "weights.safetensors"));
    expect(weights("checkpoint")).toEqual(weights("mp-sae"));
  });

  it("shows where each setting comes from, and a flag over the file's word", async () => {
    const { stdout } = await callCli(
      ["import", join(fixtures, "sae-lens-default"), "--dry-run", "--max-atoms", "5", "--no-center"],
      env,
    );
    expect(stdout).toMatch(/residual_threshold\s+0\.01\s+SAELens' default/);
    expect(stdout).toMatch(/max_atoms\s+5\s+--max-atoms, instead of 8/);
    expect(stdout).toMatch(/center\s+false\s+--no-center, instead of true \(cfg\.json\)/);
    expect(stdout).not.toContain("Written");
  });

  itInFull("names the models folder in the lines to serve and to check by, where it was named", async () => {
    const named = join(temporaryFolder(), "my models");
    const { stdout } = await callCli(["import", join(fixtures, "sae-lens-default"), "--models-dir", named]);
    expect(stdout).toContain(`npx pursuit serve --models-dir '${named}'\n`);
    expect(stdout).toContain(`npx pursuit verify sae-lens-default --models-dir '${named}' --rows x.npy`);
  });

  it("overwrites nothing without --force, and leaves nothing half-written behind", async () => {
    const fixed = join(fixtures, "sae-lens-fixed");
    const again = await callCli(["import", fixed, "--id", "sae-lens-default"], env);
    expect(again).toMatchObject({ code: 1, stderr: expect.stringContaining("--force") });
    const before = readFileSync(join(models, "sae-lens-default", "weights.safetensors"));
    expect(readFileSync(join(models, "sae-lens-fixed", "weights.safetensors"))).not.toEqual(before);
    expect(await callCli(["import", fixed, "--id", "sae-lens-default", "--force"], env)).toMatchObject({ code: 0 });
    expect(readFileSync(join(models, "sae-lens-default", "weights.safetensors"))).toEqual(
      readFileSync(join(models, "sae-lens-fixed", "weights.safetensors")),
    );
    expect(readdirSync(models).filter((name) => name.startsWith("."))).toEqual([]);
  });

  it("refuses unsound weights and keeps what was there", async () => {
    const broken = temporaryFolder();
    await cp(join(fixtures, "sae-lens-fixed"), broken, { recursive: true });
    const file = join(broken, "sae_weights.safetensors");
    const bytes = readFileSync(file);
    // The last float of the file, whichever tensor it belongs to.
    bytes.writeFloatLE(Number.NaN, bytes.length - 4);
    writeFileSync(file, bytes);
    const kept = readFileSync(join(models, "sae-lens-fixed", "weights.safetensors"));
    const refused = await callCli(["import", broken, "--id", "sae-lens-fixed", "--force"], env);
    expect(refused).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/sae_weights\.safetensors: \w+\[[\d, ]+\] is NaN/),
    });
    expect(await callCli(["import", broken, "--id", "other", "--dry-run"], env)).toMatchObject({ code: 1 });
    expect(readFileSync(join(models, "sae-lens-fixed", "weights.safetensors"))).toEqual(kept);
    expect(readdirSync(models).filter((name) => name.startsWith("."))).toEqual([]);
  });
});

describe("pursuit verify", () => {
  itInFull("does not call nothing an agreement", async () => {
    const empty = (width: number): string => {
      const path = join(temporary, `${width}.npy`);
      writeFileSync(path, npyBytes([0, width], []));
      return path;
    };
    expect(await callCli(["verify", "mp-sae", "--rows", empty(8), "--codes", empty(24)], env)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("holds no rows"),
    });
  });

  it("says that there is no such dictionary", async () => {
    const rows = join(fixtures, "mp-sae", "x.npy");
    expect(await callCli(["verify", "nowhere", "--rows", rows, "--codes", rows], env)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("There is no dictionary nowhere"),
    });
  });

  it("names the first step at which a foreign code differs, and exits 1", async () => {
    const [rows, codes] = [
      join(fixtures, "sae-lens-uncentred", "x.npy"),
      join(fixtures, "sae-lens-layer-norm", "z.npy"),
    ];
    const { code, stdout } = await callCli(["verify", "sae-lens-uncentred", "--rows", rows, "--codes", codes], env);
    expect(code).toBe(1);
    expect(stdout).toMatch(/row \d+: first differs at step \d+, atom \d+: served \S+, yours \S+/);
  });

  itInFull("says which file is of the wrong shape", async () => {
    const rows = join(fixtures, "mp-sae", "x.npy");
    expect(await callCli(["verify", "mp-sae", "--rows", rows, "--codes", rows], env)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("it must be (n, 24), 24 being the number of atoms m"),
    });
  });
});
