import { Fault } from "../../core/errors.ts";
import { join } from "node:path";
import type { JumpReluSettings } from "../../encoders/jumprelu.ts";
import type { TopkSettings } from "../../encoders/topk.ts";
import { shownJson } from "../formats/json-file.ts";
import type { TensorFile } from "../formats/tensor-file.ts";
import { expectTensors, openWeights } from "./expect-tensors.ts";
import type { ImportFlags } from "./import-flags.ts";
import {
  fixedBy,
  groupsNote,
  nestedSizes,
  onePassOf,
  type OnePassParts,
  rangeOf,
  refusePursuitFlags,
  refuseTranscoder,
} from "./one-pass.ts";
import { Config, COUNT, OBJECT, STRING } from "./read-config.ts";
import { transpose } from "./transpose.ts";
import type { Understood } from "./understood.ts";

/** Name of the weights without their ending. */
export const DICTIONARY_LEARNING_WEIGHTS = "ae";
export const DICTIONARY_LEARNING_CONFIG = "config.json";

/** One class of dictionary_learning (dictionary.py, trainers/*.py). */
interface DictClass {
  readonly kind: "relu" | "gated" | "topk" | "jumprelu";
  /** Names of the encoder and the decoder. W_enc [d, m] and W_dec [m, d]; the others the other way round. */
  readonly matrices: readonly ["W_enc", "W_dec"] | readonly ["encoder.weight", "decoder.weight"];
  /** Name of the bias that decode adds. */
  readonly center: string;
  readonly subtracts: boolean;
  /** Tensors [m], by the names that Pursuit has for them. */
  readonly vectors: Readonly<Record<string, string>>;
  readonly threshold?: "of all atoms" | "of each atom";
  /** Buffers of training, which encode does not use, or which are read as settings. */
  readonly buffers?: readonly string[];
}

const LINEAR = ["encoder.weight", "decoder.weight"] as const;
const PLAIN = ["W_enc", "W_dec"] as const;

const CLASSES: Readonly<Record<string, DictClass>> = {
  AutoEncoder: {
    kind: "relu",
    matrices: LINEAR,
    center: "bias",
    subtracts: true,
    vectors: { encoder_bias: "encoder.bias" },
  },
  AutoEncoderNew: {
    kind: "relu",
    matrices: LINEAR,
    center: "decoder.bias",
    subtracts: false,
    vectors: { encoder_bias: "encoder.bias" },
  },
  GatedAutoEncoder: {
    kind: "gated",
    matrices: LINEAR,
    center: "decoder_bias",
    subtracts: true,
    vectors: { gate_bias: "gate_bias", mag_bias: "mag_bias", r_mag: "r_mag" },
  },
  AutoEncoderTopK: {
    kind: "topk",
    matrices: LINEAR,
    center: "b_dec",
    subtracts: true,
    vectors: { encoder_bias: "encoder.bias" },
    buffers: ["k", "threshold"],
  },
  BatchTopKSAE: {
    kind: "jumprelu",
    matrices: LINEAR,
    center: "b_dec",
    subtracts: true,
    vectors: { encoder_bias: "encoder.bias" },
    threshold: "of all atoms",
    buffers: ["k"],
  },
  MatryoshkaBatchTopKSAE: {
    kind: "jumprelu",
    matrices: PLAIN,
    center: "b_dec",
    subtracts: true,
    vectors: { encoder_bias: "b_enc" },
    threshold: "of all atoms",
    buffers: ["k", "group_sizes"],
  },
  JumpReluAutoEncoder: {
    kind: "jumprelu",
    matrices: PLAIN,
    center: "b_dec",
    subtracts: false,
    vectors: { encoder_bias: "b_enc" },
    threshold: "of each atom",
  },
};

/**
 * A folder of dictionary_learning: ae.pt and config.json, whose trainer names the class. Norms stay as they are stored.
 * @param weights ae.pt, or the same tensors in another format
 * @throws Fault with every fault of the config, FormatError
 */
export async function understandDictionaryLearning(
  folder: string,
  weights: string,
  flags: ImportFlags,
): Promise<Understood> {
  refusePursuitFlags(flags, "a dictionary of dictionary_learning");
  refuseTranscoder(flags, "dictionary_learning");
  const trainer = await readTrainer(folder);
  const file = await openWeights(weights);
  try {
    return await understandTensors(file, trainer, flags);
  } finally {
    await file.close();
  }
}

interface Trainer {
  readonly name: string;
  readonly d: number;
  readonly m: number;
  readonly k: number | null;
  /** `group_sizes` of the config; undefined where it has none. */
  readonly groupSizes: unknown;
  readonly notes: readonly string[];
  readonly provenance: Readonly<Record<string, unknown>>;
}

async function readTrainer(folder: string): Promise<Trainer> {
  const config = await Config.read(join(folder, DICTIONARY_LEARNING_CONFIG), "dictionary_learning");
  config.required("trainer", {}, OBJECT);
  config.throwFaults();
  const trainer = config.section("trainer");
  const name = trainer.required("dict_class", "", STRING);
  // A missing one is a fault already.
  if (trainer.get("dict_class") !== undefined && !Object.hasOwn(CLASSES, name)) {
    trainer.fault(`dict_class is ${shownJson(name)}; import reads ${Object.keys(CLASSES).join(", ")}.`);
  }
  const d = trainer.required("activation_dim", 1, COUNT);
  const m = trainer.required("dict_size", 1, COUNT);
  const k = trainer.get("k") === undefined ? null : trainer.setting("k", 1, COUNT).value;
  const provenance = { model_name: trainer.get("lm_name"), hook_name: trainer.get("submodule_name") };
  trainer.throwFaults();
  return {
    name,
    d,
    m,
    k,
    groupSizes: trainer.get("group_sizes"),
    notes: config.notes,
    provenance: Object.fromEntries(Object.entries(provenance).filter(([, value]) => typeof value === "string")),
  };
}

async function understandTensors(
  file: TensorFile,
  { name, d, m, k, groupSizes, notes: configNotes, provenance }: Trainer,
  flags: ImportFlags,
): Promise<Understood> {
  const { kind, matrices, center, subtracts, vectors, threshold, buffers = [] } = CLASSES[name]!;
  const [encoder, decoder] = matrices;
  const layout = `dictionary_learning's ${name}`;
  const [plain, across] = [
    [d, m],
    [m, d],
  ];
  expectTensors(
    file,
    {
      [encoder]: encoder === "W_enc" ? plain : across,
      [decoder]: decoder === "W_dec" ? across : plain,
      [center]: [d],
      ...Object.fromEntries(Object.values(vectors).map((vector) => [vector, [m]])),
      ...(threshold && { threshold: threshold === "of each atom" ? [m] : [] }),
    },
    layout,
    buffers,
  );
  const encoderMatrix = await file.readFloats(encoder);
  const atoms = await file.readFloats(decoder);
  const tensors: Record<string, Float32Array> = {
    encoder_weight: encoder === "W_enc" ? transpose(encoderMatrix, d, m) : encoderMatrix,
  };
  for (const [ours, theirs] of Object.entries(vectors)) tensors[ours] = await file.readFloats(theirs);
  const parts = {
    role: "autoencoder",
    dIn: d,
    dOut: d,
    m,
    atoms: decoder === "W_dec" ? atoms : transpose(atoms, d, m),
    center: await file.readFloats(center),
    tensors,
    common: fixedBy(layout, subtracts),
  } as const satisfies Partial<OnePassParts>;
  const groups = buffers.includes("group_sizes") ? groupsOf(file, groupSizes, m) : {};
  const notes = [...groupsNote(groups), ...configNotes];
  const said = {
    source: `dictionary_learning ${name}`,
    ...groups,
    provenance: { library: "dictionary_learning", class: name, ...provenance },
  };
  const norms =
    "Atoms keep their stored norms, as in SAELens; dictionary_learning's from_pretrained rescales AutoEncoder's.";
  const own = name === "AutoEncoder" ? [norms, ...notes] : notes;
  if (kind === "topk") {
    const settled = kOf(file, k);
    return {
      ...said,
      ...onePassOf<TopkSettings>({ ...parts, kind, own: { k: settled } }, flags),
      notes: [`Each row keeps ${settled.value} atoms (${settled.from}).`, ...own],
      defaultBudget: { maxAtoms: Math.min(settled.value, m) },
    };
  }
  if (threshold === undefined) return { ...said, ...onePassOf({ ...parts, kind, own: {} }, flags), notes: own };
  const values = await file.readFloats("threshold");
  if (threshold === "of all atoms" && values[0]! < 0) {
    return {
      ...said,
      ...onePassOf({ ...parts, kind: "relu", own: {} }, flags),
      notes: [`threshold is ${values[0]!}: training never set it, so the kind is relu.`, ...own],
    };
  }
  tensors["threshold"] = threshold === "of each atom" ? values : new Float32Array(m).fill(values[0]!);
  return {
    ...said,
    ...onePassOf<JumpReluSettings>({ ...parts, kind, own: { comparison: { value: "strict", from: layout } } }, flags),
    notes: [
      threshold === "of each atom"
        ? `Thresholds from ${rangeOf(values)}.`
        : `Threshold ${Number(values[0]!.toPrecision(4))} for every atom, instead of the top k of a batch.`,
      ...own,
    ],
  };
}

/** Group sizes of the weights, or of the config where the weights hold none. @throws Fault */
function groupsOf({ path, settings }: TensorFile, said: unknown, m: number): Pick<Understood, "groups"> {
  const stored = settings?.get("group_sizes");
  if (Array.isArray(stored)) return nestedSizes(stored, m, `${path}: group_sizes`);
  if (Array.isArray(said)) return nestedSizes(said, m, `${DICTIONARY_LEARNING_CONFIG}: trainer.group_sizes`);
  throw new Fault("import", [
    `${path} and ${DICTIONARY_LEARNING_CONFIG} hold no group_sizes. Add trainer.group_sizes, the sizes of its nested groups.`,
  ]);
}

/** k of the config and of the weights, which dictionary_learning wants to be equal. @throws Fault */
function kOf({ path, settings }: TensorFile, said: number | null) {
  const stored = settings?.get("k");
  if (stored !== undefined && !COUNT.test(stored)) {
    throw new Fault("import", [
      `${path}: k is ${shownJson(stored)}; it must be ${COUNT.words}. Save the weights again.`,
    ]);
  }
  if (said !== null && stored !== undefined && said !== stored) {
    throw new Fault("import", [
      `${path}: k is ${stored}, but trainer.k in ${DICTIONARY_LEARNING_CONFIG} is ${said}. Take both files from one folder.`,
    ]);
  }
  if (said !== null) return { value: said, from: DICTIONARY_LEARNING_CONFIG };
  if (stored !== undefined) return { value: stored, from: "the weights' k" };
  throw new Fault("import", [
    `${path} and ${DICTIONARY_LEARNING_CONFIG} hold no k. Add trainer.k, the number of atoms that a row keeps.`,
  ]);
}
