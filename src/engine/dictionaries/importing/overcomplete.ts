import { Fault } from "../../core/errors.ts";
import type { JumpReluSettings } from "../../encoders/jumprelu.ts";
import type { TopkSettings } from "../../encoders/topk.ts";
import { FormatError } from "../formats/format-error.ts";
import type { TensorFile } from "../formats/tensor-file.ts";
import { expectOnly, expectShape, expectTensors, matrixShape } from "./expect-tensors.ts";
import { FLAG_VALUES, type ImportFlags, missingFlags } from "./import-flags.ts";
import { normalizeAtoms } from "./normalize-atoms.ts";
import { onePassOf, rangeOf, refusePursuitFlags, refuseTranscoder } from "./one-pass.ts";
import { decoderAlone } from "./other-layouts.ts";
import { scaled } from "./transpose.ts";
import { pursuitOf, settle, type Understood } from "./understood.ts";

/** overcomplete's state dicts: atoms without a bias, and for most classes an encoder that was learned beside them. */

const DICTIONARY = "dictionary.";
export const OVERCOMPLETE_WEIGHTS = "dictionary._weights";
const MULTIPLIER = "dictionary.multiplier";
/** Of an archetypal dictionary: points [n, d], weights of the points [m, n], what is added to their mixtures [m, d]. */
const [POINTS, MIXTURE, RELAX] = ["dictionary.C", "dictionary.W", "dictionary.Relax"] as const;
const THRESHOLDS = "thresholds";
const LINEAR = "encoder.final_block.0.";
const NORM = "encoder.final_block.1.";
const TIED = "encoder.tied_to.";
const WAY = decoderAlone("model.eval().get_dictionary()");

/** Whether a file holds a dictionary of overcomplete that has an encoder of its own. */
export const isOvercompleteEncoder = ({ tensors }: TensorFile): boolean =>
  tensors.has(RELAX) ||
  (tensors.has(OVERCOMPLETE_WEIGHTS) &&
    [...tensors.keys()].some((name) => name.startsWith("encoder.") || name === THRESHOLDS || name === "Q"));

/** @throws Fault, FormatError */
export function understandOvercomplete(file: TensorFile, flags: ImportFlags): Promise<Understood> {
  const learned = isOvercompleteEncoder(file) || flags.k !== undefined || flags.threshold !== undefined;
  return learned || flags.kind === "relu" ? understandEncoder(file, flags) : understandMp(file, flags);
}

/**
 * overcomplete's MpSAE (overcomplete/sae/mp_sae.py): the largest signed score, exactly k selections, no bias.
 * In evaluation its dictionary is normalisation(_weights) · exp(multiplier); the normalisation's name is not saved.
 */
async function understandMp(file: TensorFile, flags: ImportFlags): Promise<Understood> {
  const [m, d] = atomsShape(file, OVERCOMPLETE_WEIGHTS);
  expectOnly(file, [OVERCOMPLETE_WEIGHTS, MULTIPLIER], "overcomplete's MpSAE");
  const from = "overcomplete's MpSAE";
  const settings = settle(
    `${file.path} (overcomplete)`,
    {
      score: { value: "signed", from },
      reselect: { value: "add", from },
      center: { value: false, from },
      residualThreshold: { value: 0, from },
      inputNorm: { value: "none", from },
    },
    flags,
    ["normalize", "maxAtoms"],
  );
  if (settings.center.value) throw noBias(file);
  const { atoms, notes } = await normalizedAtoms(file, d, flags);
  return {
    source: "overcomplete MpSAE",
    ...pursuitOf({ d, m, atoms, center: null }, settings),
    notes,
    provenance: { library: "overcomplete", class: "MpSAE", normalization: flags.normalize },
  };
}

/**
 * SAE, TopKSAE, BatchTopKSAE, JumpSAE and their archetypal forms, with a linear or a tied encoder. Only JumpSAE's state dict says
 * its class: --k, --threshold or --kind relu says the others. No class subtracts or adds a bias of the row.
 */
async function understandEncoder(file: TensorFile, flags: ImportFlags): Promise<Understood> {
  const { normalize, ...others } = flags;
  refusePursuitFlags(others, "overcomplete's encoder");
  refuseTranscoder(flags, "overcomplete");
  refuseOthers(file);
  const jumps = file.tensors.has(THRESHOLDS);
  const archetypal = file.tensors.has(RELAX);
  const chosen = [flags.k, flags.threshold, flags.kind].filter((flag) => flag !== undefined);
  if (jumps && chosen.length > 0) {
    throw new Fault("import", [
      `${file.path} holds ${THRESHOLDS}, so it is JumpSAE: leave --k, --threshold and --kind out.`,
    ]);
  }
  if (chosen.length > 1)
    throw new Fault("import", ["--k, --threshold, --kind: each names another class; give one of them."]);
  const missing = [
    ...(jumps || chosen.length === 1
      ? []
      : [
          `${FLAG_VALUES.k} for TopKSAE, ${FLAG_VALUES.threshold} (its running_threshold) for BatchTopKSAE, or --kind relu for SAE`,
        ]),
    ...(archetypal || normalize !== undefined ? [] : [FLAG_VALUES.normalize]),
  ];
  if (missing.length > 0) throw missingFlags(`${file.path} (overcomplete)`, missing);
  if (archetypal && normalize !== undefined) {
    throw new Fault("import", [
      `${FLAG_VALUES.normalize.split(" ")[0]}: an archetypal dictionary is not normalised; leave it out.`,
    ]);
  }
  const [m, d] = atomsShape(file, archetypal ? RELAX : OVERCOMPLETE_WEIGHTS);
  const { atoms, notes } = archetypal ? await archetypes(file, m, d) : await normalizedAtoms(file, d, flags);
  const encoder = await readEncoder(file, m, d, atoms);
  const from = "overcomplete";
  const tensors: Record<string, Float32Array> = { ...encoder.tensors };
  const parts = {
    role: "autoencoder",
    dIn: d,
    dOut: d,
    m,
    atoms,
    center: null,
    tensors,
    common: {
      center: { value: false, from },
      subtractCenter: { value: false, from },
      inputNorm: { value: "none", from },
    },
  } as const;
  const prefix = archetypal ? "RA" : "";
  const said = (name: string) => ({
    source: `overcomplete ${prefix}${name}`,
    provenance: { library: "overcomplete", class: `${prefix}${name}`, ...(normalize && { normalization: normalize }) },
    taken: ["k", "threshold"] as const,
  });
  const all = [...notes, ...encoder.notes];
  if (flags.k !== undefined) {
    const own = { k: { value: flags.k, from: "--k" } };
    return {
      ...said("TopKSAE"),
      ...onePassOf<TopkSettings>({ ...parts, kind: "topk", own }, flags),
      notes: all,
      defaultBudget: { maxAtoms: Math.min(flags.k, m) },
    };
  }
  if (!jumps && flags.threshold === undefined) {
    return { ...said("SAE"), ...onePassOf({ ...parts, kind: "relu", own: {} }, flags), notes: all };
  }
  if (jumps) expectShape(file, THRESHOLDS, [m]);
  const threshold = jumps
    ? (await file.readFloats(THRESHOLDS)).map(Math.exp)
    : new Float32Array(m).fill(flags.threshold!);
  tensors["threshold"] = threshold;
  const own = { comparison: { value: "inclusive", from } } as const;
  return {
    ...said(jumps ? "JumpSAE" : "BatchTopKSAE"),
    ...onePassOf<JumpReluSettings>({ ...parts, kind: "jumprelu", own }, flags),
    notes: [...all, `Thresholds from ${rangeOf(threshold)}.`],
  };
}

/** Encoders and classes that are no linear map of a row. @throws Fault */
function refuseOthers({ path, tensors }: TensorFile): void {
  const names = [...tensors.keys()];
  const found = (pattern: RegExp): boolean => names.some((name) => pattern.test(name));
  const what = names.includes("Q")
    ? "QSAE, whose codes are levels of Q: dense, and soft or hard by a setting that is not saved"
    : found(/^encoder\.attention_blocks|^encoder\..*attn/)
      ? "an attention encoder, which needs whole sequences"
      : found(/^encoder\.(?:resnet|blocks|conv)/)
        ? "a convolutional encoder, which needs whole images"
        : found(/^encoder\.mlp_blocks/)
          ? "an MLP encoder of several layers"
          : tensors.has(`${NORM}weight`) && !tensors.has(`${NORM}running_mean`)
            ? "an encoder with a LayerNorm over its scores, which is not a linear map of the row"
            : tensors.has(RELAX) && !found(/^encoder\./)
              ? "an archetypal dictionary without its encoder"
              : null;
  if (what !== null)
    throw new Fault("import", [`${path} holds overcomplete's ${what}. Pursuit does not run it. ${WAY}`]);
}

/** The encoder's own tensors, its batch norm folded in. @throws Fault, FormatError */
async function readEncoder(file: TensorFile, m: number, d: number, atoms: Float32Array) {
  const { tensors } = file;
  const dictionary = tensors.has(RELAX)
    ? { [POINTS]: tensors.get(POINTS)?.shape ?? [], [MIXTURE]: tensors.get(MIXTURE)?.shape ?? [], [RELAX]: [m, d] }
    : { [OVERCOMPLETE_WEIGHTS]: [m, d] };
  const jumps = tensors.has(THRESHOLDS) ? { [THRESHOLDS]: [m] } : {};
  const common = [MULTIPLIER];
  if (tensors.has(`${LINEAR}weight`)) {
    const batchNorm = tensors.has(`${NORM}running_mean`);
    const norms = batchNorm ? ["weight", "bias", "running_mean", "running_var"].map((name) => [NORM + name, [m]]) : [];
    const shapes = {
      [`${LINEAR}weight`]: [m, d],
      [`${LINEAR}bias`]: [m],
      ...(Object.fromEntries(norms) as Record<string, number[]>),
    };
    expectTensors(file, { ...dictionary, ...jumps, ...shapes }, "overcomplete", [
      ...common,
      `${NORM}num_batches_tracked`,
    ]);
    const weight = await file.readFloats(`${LINEAR}weight`);
    const bias = await file.readFloats(`${LINEAR}bias`);
    if (!batchNorm) return { tensors: { encoder_weight: weight, encoder_bias: bias }, notes: [] };
    await foldBatchNorm(file, weight, bias, d);
    return {
      tensors: { encoder_weight: weight, encoder_bias: bias },
      notes: ["The encoder's BatchNorm is folded, as in evaluation."],
    };
  }
  const tied = !tensors.has("encoder.weight");
  const biased = tensors.has("encoder.bias");
  const held = [...tensors.keys()].filter((name) => name.startsWith(TIED));
  // A tied encoder saves the dictionary again under its own name.
  if (tied && biased && held.length === 0) expectShape(file, "encoder.weight", [m, d]);
  expectTensors(
    file,
    { ...dictionary, ...jumps, ...(!tied && { "encoder.weight": [m, d] }), ...(biased && { "encoder.bias": [m] }) },
    "overcomplete",
    [...common, ...held],
  );
  return {
    tensors: {
      encoder_weight: tied ? atoms.slice() : await file.readFloats("encoder.weight"),
      encoder_bias: biased ? await file.readFloats("encoder.bias") : new Float32Array(m),
    },
    notes: tied ? ["The encoder is tied: its rows are the atoms."] : [],
  };
}

/** Added to a variance by torch's BatchNorm1d. */
const BATCH_NORM_EPSILON = 1e-5;

async function foldBatchNorm(file: TensorFile, weight: Float32Array, bias: Float32Array, d: number): Promise<void> {
  const [gamma, beta, mean, variance] = await Promise.all(
    ["weight", "bias", "running_mean", "running_var"].map((name) => file.readFloats(NORM + name)),
  );
  for (let j = 0; j < bias.length; j++) {
    const scale = gamma![j]! / Math.sqrt(variance![j]! + BATCH_NORM_EPSILON);
    for (let at = j * d; at < (j + 1) * d; at++) weight[at]! *= scale;
    bias[j] = (bias[j]! - mean![j]!) * scale + beta![j]!;
  }
}

/** normalisation(_weights) · exp(multiplier) */
async function normalizedAtoms(file: TensorFile, d: number, { normalize }: ImportFlags) {
  const atoms = normalizeAtoms(await file.readFloats(OVERCOMPLETE_WEIGHTS), d, normalize!);
  const multiplier = await multiplierOf(file);
  scaled(atoms, Math.fround(Math.exp(multiplier)));
  return {
    atoms,
    notes: [`Atoms are ${OVERCOMPLETE_WEIGHTS}, normalised by ${normalize!} (--normalize), times exp(${multiplier}).`],
  };
}

/** How far a row of mixing weights may be from a sum of 1. */
const MIXTURE_TOLERANCE = 1e-4;

/**
 * (W · C + Relax) · exp(multiplier), which eval() makes of weights that it projects first: W to rows of non-negative numbers that add
 * up to 1, Relax to a length that is not saved. A file saved before eval() is refused. @throws Fault
 */
async function archetypes(file: TensorFile, m: number, d: number) {
  const [n, width] = matrixShape(file, POINTS);
  expectShape(file, MIXTURE, [m, n]);
  expectShape(file, POINTS, [n, d]);
  const [points, mixture, relax] = [
    await file.readFloats(POINTS),
    await file.readFloats(MIXTURE),
    await file.readFloats(RELAX),
  ];
  const atoms = new Float32Array(m * width);
  for (let j = 0; j < m; j++) {
    const row = mixture.subarray(j * n, (j + 1) * n);
    const sum = row.reduce((total, value) => total + value, 0);
    if (row.some((value) => value < 0) || (sum !== 0 && Math.abs(sum - 1) > MIXTURE_TOLERANCE)) {
      throw new Fault("import", [
        `${file.path}: row ${j} of ${MIXTURE} is not projected (its sum is ${Number(sum.toPrecision(4))}), so the atoms depend on a delta that is not saved. ` +
          "Call model.eval() and save the state dict again.",
      ]);
    }
    for (let c = 0; c < d; c++) {
      let value = relax[j * d + c]!;
      for (let i = 0; i < n; i++) value += row[i]! * points[i * d + c]!;
      atoms[j * d + c] = value;
    }
  }
  const multiplier = await multiplierOf(file);
  scaled(atoms, Math.fround(Math.exp(multiplier)));
  return { atoms, notes: [`Atoms are (W · C + Relax) · exp(${multiplier}) of ${DICTIONARY}*.`] };
}

/** Its logarithm is what overcomplete trains; a dictionary without one has 0. */
async function multiplierOf(file: TensorFile): Promise<number> {
  if (!file.tensors.has(MULTIPLIER)) return 0;
  const values = await file.readFloats(MULTIPLIER);
  if (values.length === 1 && Number.isFinite(values[0])) return values[0]!;
  throw new FormatError(
    file.path,
    `${MULTIPLIER} must be one finite number; it is [${values.slice(0, 4).join(", ")}].`,
  );
}

function atomsShape(file: TensorFile, name: string): readonly [number, number] {
  if (!file.tensors.has(name)) throw new FormatError(file.path, `holds no tensor ${name} [m, d].`);
  return matrixShape(file, name);
}

const noBias = ({ path }: TensorFile): Fault =>
  new Fault("import", [`--center: this layout has no bias, and ${path} holds none that could be the centre.`]);
