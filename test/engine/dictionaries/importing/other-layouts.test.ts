/** Folders and files of layouts that import does not read: one refusal, which ends in a way that works. */
import { Fault } from "../../../../src/engine/core/errors.ts";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { ImportFlags } from "../../../../src/engine/dictionaries/importing/import-flags.ts";
import { understand } from "../../../../src/engine/dictionaries/importing/understand.ts";
import { ImportFolders, tensorsOf } from "../../../support/import-folder.ts";

const folders = new ImportFolders();
const TRAINER = JSON.stringify({ trainer: { dict_class: "BatchTopKSAE", k: 3, activation_dim: 4 } });
const LEARNED = tensorsOf({ "encoder.weight": [6, 4], "encoder.bias": [6], "decoder.weight": [4, 6], b_dec: [4] });
const OFFICIAL = tensorsOf({ W: [6, 4] });

const CASES: readonly (readonly [what: string, path: () => string, said: RegExp])[] = [
  [
    "a folder of dictionary_learning without its weights",
    () => folders.of({ "config.json": TRAINER }),
    /has the config\.json of dictionary_learning \(BatchTopKSAE\), but no ae\.pt: put the weights beside it/,
  ],
  [
    "its checkpoint by itself",
    () => join(folders.of({ "config.json": TRAINER, "ae.safetensors": LEARNED }), "ae.safetensors"),
    /ae\.safetensors belongs to a folder of dictionary_learning \(BatchTopKSAE\): pursuit import/,
  ],
  ["its checkpoint without a config", () => folders.of({ "ae.pt": "" }), /holds ae\.pt but no config\.json/],
  [
    "Llama Scope",
    () => folders.of({ "hyperparams.json": "{}" }),
    /Llama Scope, but no checkpoints\/final\.safetensors/,
  ],
  ["circuit-tracer", () => folders.of({ "config.yaml": "" }), /circuit-tracer's transcoders. Import one layer's file/],
  [
    "weights of a SAELens folder by themselves",
    () =>
      join(
        folders.of({ "cfg.json": "{}", "sae_weights.safetensors": tensorsOf({ W_enc: [4, 6] }) }),
        "sae_weights.safetensors",
      ),
    /belongs to a folder with its settings: pursuit import \S+$/,
  ],
  [
    "a checkout of many dictionaries",
    () => folders.of(Object.fromEntries(Array.from({ length: 7 }, (_, i) => [`layer_${i}/cfg.json`, "{}"]))),
    /holds 7 that can be imported one by one:\n {2}pursuit import \S+layer_0\n(.*\n){4} {2}… and 2 more$/,
  ],
  [
    "a folder of weights",
    () => folders.of({ "w.safetensors": OFFICIAL }),
    /Import a weights file by itself:\n {2}pursuit import \S+w\.safetensors$/,
  ],
  ["a dictionary of Pursuit", () => folders.of({ "dictionary.json": "{}" }), /is already a Pursuit dictionary/],
  [
    "an OpenAI file without its decoder",
    () => folders.weights({ latent_bias: [6], pre_bias: [4], "encoder.weight": [6, 4] }),
    /holds latent_bias: a dictionary of OpenAI.*decoder\.weight/,
  ],
  ["an OpenMOSS file", () => folders.weights({ W_E: [4, 6], b_E: [6] }), /a dictionary of OpenMOSS/],
];

describe("import of what it does not read", () => {
  it.each(CASES)("says what to do with %s", async (_what, path, said) => {
    const fault = await understand(path(), {}).catch((error: unknown) => error);
    expect(fault).toBeInstanceOf(Fault);
    expect((fault as Fault).message).toMatch(said);
    expect((fault as Fault).message).not.toMatch(/not served/);
  });
});

const ROUNDS: readonly (readonly [what: string, path: () => string, flags: ImportFlags, missing: readonly string[]])[] =
  [
    [
      "overcomplete's weights",
      () => folders.weights({ "dictionary._weights": [6, 4] }),
      {},
      ["--from overcomplete", "--normalize", "--max-atoms"],
    ],
    [
      "overcomplete's weights with k",
      () => folders.weights({ "dictionary._weights": [6, 4] }),
      { maxAtoms: 3 },
      ["--from overcomplete", "--normalize"],
    ],
    ["the official weights", () => folders.weights({ W: [6, 4] }), {}, ["--from mp-sae", "--residual-threshold"]],
    [
      "the official weights with everything but --from",
      () => folders.weights({ W: [6, 4] }),
      { residualThreshold: 0 },
      ["--from mp-sae"],
    ],
    [
      "bare atoms with a bias",
      () => folders.weights({ atoms: [6, 4], b: [4] }),
      {},
      [
        "--from atoms",
        "--normalize",
        "--score",
        "--reselect",
        "--center",
        "--residual-threshold",
        "--max-atoms",
        "--input-norm",
      ],
    ],
    [
      "bare atoms to be encoded orthogonally",
      () => folders.weights({ atoms: [6, 4] }),
      { kind: "orthogonal_matching_pursuit", score: "relu" },
      ["--from atoms", "--normalize", "--raw-scores", "--residual-threshold", "--max-atoms", "--input-norm"],
    ],
  ];

describe("import asks in one round for every flag of", () => {
  it.each(ROUNDS)("%s", async (_what, path, flags, missing) => {
    const fault = (await understand(path(), flags).catch((error: unknown) => error)) as Fault;
    const asked = fault.faults.filter((line) => line.startsWith("  --")).map((line) => line.trim());
    expect(asked.map((line) => missing.find((flag) => line === flag || line.startsWith(`${flag} `)))).toEqual(missing);
  });
});
