import { readdir } from "node:fs/promises";
import { LARGEST_FLOAT32 } from "../../core/float-formats.ts";
import { Fault } from "../../core/errors.ts";
import type { JumpReluSettings } from "../../encoders/jumprelu.ts";
import { FormatError } from "../formats/format-error.ts";
import { shownJson } from "../formats/json-file.ts";
import { findTensorFile, type TensorFile } from "../formats/tensor-file.ts";
import { expectTensors, openWeights } from "./expect-tensors.ts";
import type { ImportFlags } from "./import-flags.ts";
import { fixedBy, onePassOf, type OnePassParts, rangeOf, refusePursuitFlags } from "./one-pass.ts";
import { transpose } from "./transpose.ts";
import type { Understood } from "./understood.ts";

const FROM = "dictionary_learning's CrossCoder";

/** Names of the weights without their endings, in folders that dictionary_learning and the Hugging Face hub save. */
const WEIGHTS = ["model", "model_final", "ae"];

const MATRIX = "encoder.weight";
const DECODER = "decoder.weight";

/** Whether a file holds a crosscoder of dictionary_learning: its encoder has a matrix for each layer. */
export const isCrossCoder = ({ tensors }: TensorFile): boolean =>
  tensors.get(MATRIX)?.shape.length === 3 && tensors.get(DECODER)?.shape.length === 3;

/** The weights of a folder with a crosscoder of dictionary_learning; null where it is none. @throws FormatError */
export async function findCrossCoder(folder: string): Promise<string | null> {
  const names = await readdir(folder);
  if (!names.includes("config.json")) return null;
  for (const stem of WEIGHTS) {
    const path = await findTensorFile(folder, stem);
    if (path === null) continue;
    const file = await openWeights(path);
    try {
      if (isCrossCoder(file)) return path;
    } finally {
      await file.close();
    }
  }
  return null;
}

export async function understandCrossCoder(path: string, flags: ImportFlags): Promise<Understood> {
  const file = await openWeights(path);
  try {
    return await understandCrossCoderFile(file, flags);
  } finally {
    await file.close();
  }
}

/**
 * A crosscoder of dictionary_learning (its fork for crosscoders): encoder.weight [layers, d, m], encoder.bias [m], decoder.weight
 * [layers, m, d], decoder.bias [layers, d]. BatchTopKCrossCoder adds k and the threshold of h_j times a norm of the decoder's
 * rows, which code_normalization_id names. Newer files may norm rows by activation_mean and activation_std, which are folded.
 * @throws Fault, FormatError
 */
export async function understandCrossCoderFile(file: TensorFile, flags: ImportFlags): Promise<Understood> {
  refusePursuitFlags(flags, FROM);
  if (flags.role !== undefined && flags.role !== "crosscoder")
    throw new Fault("import", [`--role ${flags.role}: ${FROM} is a crosscoder; leave it out.`]);
  const [layers, d, m] = file.tensors.get(MATRIX)!.shape as [number, number, number];
  const written = file.tensors.get(DECODER)!.shape[0]!;
  if (written !== layers) {
    throw new Fault("import", [
      `${file.path}: ${MATRIX} reads ${layers} layers and ${DECODER} writes ${written}. The file does not say which layers it reads, so import cannot place them. Save one with an encoder of all layers.`,
    ]);
  }
  const thresholded = file.tensors.has("threshold");
  const normed = file.tensors.has("activation_mean");
  expectTensors(
    file,
    {
      [MATRIX]: [layers, d, m],
      "encoder.bias": [m],
      [DECODER]: [layers, m, d],
      "decoder.bias": [layers, d],
      ...(normed && { activation_mean: [layers, d], activation_std: [layers, d], activation_global_scale: [layers] }),
    },
    FROM,
    ["threshold", "k", "code_normalization_id", "target_rms"],
  );
  const width = layers * d;
  const stored = await file.readFloats(DECODER);
  const weights = {
    encoder: transpose(await file.readFloats(MATRIX), width, m),
    bias: await file.readFloats("encoder.bias"),
    atoms: layersSideBySide(stored, layers, m, d),
    center: await file.readFloats("decoder.bias"),
  };
  const threshold = thresholded ? await thresholdOf(file, { stored, layers, m, d }) : null;
  const foldedNorm = normed && (await foldActivationNorm(file, weights, { layers, d }));
  const name = thresholded ? "BatchTopKCrossCoder" : "CrossCoder";
  const tensors = {
    encoder_weight: weights.encoder,
    encoder_bias: weights.bias,
    ...(threshold && { threshold: threshold.values }),
  };
  const { atoms, center } = weights;
  const common = fixedBy(FROM, false);
  const parts = { role: "crosscoder", dIn: width, dOut: width, m, layers, atoms, center, tensors, common } as const;
  const notes = [
    `Rows and outputs are ${layers} layers of ${d} numbers side by side: [n, ${layers}, ${d}].`,
    ...(foldedNorm ? ["activation_mean and activation_std are folded."] : []),
  ];
  const said = {
    source: `dictionary_learning ${name}`,
    provenance: { library: "dictionary_learning", class: name },
  };
  if (threshold === null) {
    const never = thresholded ? ["threshold is below 0: training never set it, so the kind is relu."] : [];
    const relu = { ...parts, kind: "relu", own: {} } satisfies OnePassParts;
    return { ...said, ...onePassOf(relu, flags), notes: [...notes, ...never] };
  }
  const own = { comparison: { value: "strict", from: FROM } } as const;
  return {
    ...said,
    ...onePassOf<JumpReluSettings>({ ...parts, kind: "jumprelu", own }, flags),
    notes: [
      ...notes,
      `Thresholds from ${rangeOf(threshold.values)}: ${threshold.of} over each atom's norm (${threshold.norm}).`,
    ],
  };
}

interface Decoder {
  /** [layers, m, d] as the file has it. */
  readonly stored: Float32Array;
  readonly layers: number;
  readonly m: number;
  readonly d: number;
}

/** [layers, m, d] → [m, layers · d] */
function layersSideBySide(stored: Float32Array, layers: number, m: number, d: number): Float32Array {
  const atoms = new Float32Array(stored.length);
  for (let layer = 0; layer < layers; layer++) {
    for (let j = 0; j < m; j++) {
      const from = (layer * m + j) * d;
      atoms.set(stored.subarray(from, from + d), (j * layers + layer) * d);
    }
  }
  return atoms;
}

/** CodeNormalization of dictionary_learning, by its number: what a score is multiplied by before the threshold. */
const NORMALIZATIONS = ["CROSSCODER", "SAE", "MIXED", "NONE", "DECOUPLED"] as const;
/** Its factors of SAE and CROSSCODER under MIXED, where from_pretrained does not say otherwise. */
const [ALPHA_SAE, ALPHA_CROSSCODER] = [1, 0.1];

/**
 * [m] the threshold over each atom's norm; null where training never set one.
 * @throws Fault for a threshold of each layer, under which a latent may be active in one layer alone
 */
async function thresholdOf(file: TensorFile, decoder: Decoder) {
  const id = file.settings?.get("code_normalization_id") ?? null;
  const norm = id === null ? NORMALIZATIONS[0] : NORMALIZATIONS[Number(id) - 1];
  if (norm === undefined)
    throw new FormatError(
      file.path,
      `code_normalization_id is ${shownJson(id)}; dictionary_learning has 1 to ${NORMALIZATIONS.length}.`,
    );
  const { shape } = file.tensors.get("threshold")!;
  if (norm === "DECOUPLED" || shape.length > 0) {
    throw new Fault("import", [
      `${file.path}: its threshold is of each layer (DECOUPLED), so a latent may be active in one layer and not in another, which one code per row cannot say. Train with another code_normalization.`,
    ]);
  }
  const limit = (await file.readFloats("threshold"))[0]!;
  if (limit < 0) return null;
  const norms = codeNorms(decoder, norm);
  // An atom of norm 0 has a score of 0, which exceeds no threshold.
  const values = Float32Array.from(norms, (one) =>
    Math.min(one === 0 ? LARGEST_FLOAT32 : limit / one, LARGEST_FLOAT32),
  );
  return { values, of: Number(limit.toPrecision(4)), norm };
}

/** [m] the norm that scores are multiplied by. */
function codeNorms({ stored, layers, m, d }: Decoder, norm: Exclude<(typeof NORMALIZATIONS)[number], "DECOUPLED">) {
  const norms = new Float64Array(m);
  for (let j = 0; j < m; j++) {
    let sum = 0;
    let squares = 0;
    for (let layer = 0; layer < layers; layer++) {
      const from = (layer * m + j) * d;
      let square = 0;
      for (let c = from; c < from + d; c++) square += stored[c]! * stored[c]!;
      sum += Math.sqrt(square);
      squares += square;
    }
    const sae = Math.sqrt(squares);
    norms[j] = { CROSSCODER: sum, SAE: sae, MIXED: ALPHA_SAE * sae + ALPHA_CROSSCODER * sum, NONE: 1 }[norm];
  }
  return norms;
}

/** Added to a deviation or scale by dictionary_learning where it divides. */
const EPSILON = 1e-8;

interface Foldable {
  readonly encoder: Float32Array;
  readonly bias: Float32Array;
  readonly atoms: Float32Array;
  readonly center: Float32Array;
}

/**
 * Folds x' = (x − mean) · scale into the encoder, and its inverse into the decoder, in place. The scale is one of each layer, or,
 * where all of those are 1, that of each number's own deviation.
 * @returns false where the norm is off: mean and deviation are NaN
 */
async function foldActivationNorm(file: TensorFile, weights: Foldable, { layers, d }: Pick<Decoder, "layers" | "d">) {
  const [mean, std, global] = [
    await file.readFloats("activation_mean"),
    await file.readFloats("activation_std"),
    await file.readFloats("activation_global_scale"),
  ];
  if (mean.some(Number.isNaN) || std.some(Number.isNaN)) return false;
  const width = layers * d;
  const perLayer = global.some((value) => value !== 1);
  const into = (c: number): number => (perLayer ? global[Math.floor(c / d)]! : 1 / (std[c]! + EPSILON));
  const back = (c: number): number => (perLayer ? 1 / (global[Math.floor(c / d)]! + EPSILON) : std[c]! + EPSILON);
  const { encoder, bias, atoms, center } = weights;
  for (let j = 0; j < bias.length; j++) {
    let moved = 0;
    for (let c = 0, at = j * width; c < width; c++, at++) {
      encoder[at]! *= into(c);
      moved += encoder[at]! * mean[c]!;
      atoms[at]! *= back(c);
    }
    bias[j]! -= moved;
  }
  for (let c = 0; c < width; c++) center[c] = center[c]! * back(c) + mean[c]!;
  return true;
}
