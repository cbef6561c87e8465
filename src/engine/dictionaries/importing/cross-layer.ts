import { Fault } from "../../core/errors.ts";
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import type { JumpReluSettings } from "../../encoders/jumprelu/spec.ts";
import { FormatError } from "../formats/format-error.ts";
import { SafetensorsFile } from "../formats/safetensors.ts";
import type { TensorFile } from "../formats/tensor-file.ts";
import { expectTensors, matrixShape } from "./expect-tensors.ts";
import { FLAG_VALUES, type ImportFlags } from "./import-flags.ts";
import { fixedBy, onePassOf, rangeOf, refusePursuitFlags } from "./one-pass.ts";
import { transpose } from "./transpose.ts";
import type { Understood } from "./understood.ts";

/** A set of layers whose latents read one layer and write to several, and the layer that is imported. */
export interface CrossLayerFolder {
  readonly layout: "circuit-tracer" | "Gemma Scope 2";
  readonly layer: number;
  /** The file of the layer's encoder. */
  readonly weights: string;
}

const LAYOUTS = [
  ["circuit-tracer", /^W_enc_(\d+)\.safetensors$/],
  ["Gemma Scope 2", /^params_layer_(\d+)\.safetensors$/],
] as const;

/**
 * The layer of a folder with cross-layer transcoders or a crosscoder of Gemma Scope 2; null where it is no such folder.
 * @throws Fault where --layer is missing or names no layer
 */
export async function findCrossLayer(folder: string, { layer }: ImportFlags): Promise<CrossLayerFolder | null> {
  const names = await readdir(folder);
  for (const [layout, pattern] of LAYOUTS) {
    const files = new Map(
      names.flatMap((name) => {
        const found = pattern.exec(name);
        return found === null ? [] : [[Number(found[1]), join(folder, name)] as const];
      }),
    );
    if (files.size === 0) continue;
    const layers = [...files.keys()].toSorted((a, b) => a - b);
    const held = layers.length > 8 ? `${layers[0]} to ${layers.at(-1)}` : layers.join(", ");
    if (layer === undefined) {
      throw new Fault("import", [
        `${folder} holds a set of layers (${held}) that write to one another. One of them is imported as a transcoder: add ${FLAG_VALUES.layer}.`,
      ]);
    }
    const weights = files.get(layer);
    if (weights === undefined) throw new Fault("import", [`--layer ${layer}: ${folder} holds the layers ${held}.`]);
    return { layout, layer, weights };
  }
  return null;
}

/**
 * One layer of a cross-layer transcoder, or of a crosscoder whose latents belong to layers, as a transcoder: from the layer's row
 * to what its latents add to each layer that they write to, side by side. The bias of the layer's own output is in its slice, so
 * that the outputs of all layers add up to those of the whole.
 * @throws Fault, FormatError
 */
export async function understandCrossLayer(found: CrossLayerFolder, flags: ImportFlags): Promise<Understood> {
  const what = `a layer of ${found.layout}`;
  refusePursuitFlags(flags, what);
  if (flags.role === "autoencoder")
    throw new Fault("import", [`--role autoencoder: ${what} is a transcoder; leave it out.`]);
  const file = await SafetensorsFile.open(found.weights);
  try {
    return await (found.layout === "circuit-tracer" ? readSeparate(file, found, flags) : readGemma(file, found, flags));
  } finally {
    await file.close();
  }
}

/** Tensors of one layer by Pursuit's names. */
interface Layer {
  readonly d: number;
  readonly m: number;
  /** Layers that the latents write to, the first of them. */
  readonly writes: number;
  readonly firstWritten: number;
  readonly encoder: Float32Array;
  readonly bias: Float32Array;
  /** [m, writes · d] */
  readonly atoms: Float32Array;
  /** [d] of the layer's own output */
  readonly center: Float32Array;
  readonly threshold: Float32Array | null;
  /** [d, d] of the layer's own output, as it multiplies a row from the left; null where there is none. */
  readonly skip: Float32Array | null;
}

/** W_enc_<l>.safetensors: W_enc_l [m, d], b_enc_l, b_dec_l, threshold_l; W_dec_<l>.safetensors: W_dec_l [m, layers from l on, d]. */
async function readSeparate(
  file: TensorFile,
  { layer, weights }: CrossLayerFolder,
  flags: ImportFlags,
): Promise<Understood> {
  const [encoder, bias, center, thresholds] = ["W_enc", "b_enc", "b_dec", "threshold"].map(
    (name) => `${name}_${layer}`,
  ) as [string, string, string, string];
  if (!file.tensors.has(encoder)) throw new FormatError(file.path, `holds no tensor ${encoder} [m, d].`);
  const [m, d] = matrixShape(file, encoder);
  const thresholded = file.tensors.has(thresholds);
  expectTensors(
    file,
    { [encoder]: [m, d], [bias]: [m], [center]: [d], ...(thresholded && { [thresholds]: [m] }) },
    "circuit-tracer's cross-layer transcoder",
  );
  const path = weights.replace(/W_enc_(\d+\.safetensors)$/, "W_dec_$1");
  if (!(await stat(path).catch(() => null))) {
    throw new Fault("import", [`${weights} has no decoder beside it: put W_dec_${layer}.safetensors there.`]);
  }
  const decoder = await SafetensorsFile.open(path);
  try {
    const name = `W_dec_${layer}`;
    const writes = writesOf(decoder, name, m, d);
    expectTensors(decoder, { [name]: [m, writes, d] }, "circuit-tracer's cross-layer transcoder");
    const read = {
      d,
      m,
      writes,
      firstWritten: layer,
      encoder: await file.readFloats(encoder),
      bias: await file.readFloats(bias),
      atoms: await decoder.readFloats(name),
      center: await file.readFloats(center),
      threshold: thresholded ? await file.readFloats(thresholds) : null,
      skip: null,
    };
    // Its code keeps whatever exceeds a threshold, below zero too.
    return transcoderOf(read, layer, "circuit-tracer", false, flags);
  } finally {
    await decoder.close();
  }
}

/** params_layer_<l>.safetensors: w_enc [d, m], b_enc, threshold, w_dec [m, layers, d], b_dec, affine_skip_connection [d, d]. */
async function readGemma(file: TensorFile, { layer }: CrossLayerFolder, flags: ImportFlags): Promise<Understood> {
  const affine = "affine_skip_connection";
  if (!file.tensors.has("w_enc")) throw new FormatError(file.path, "holds no tensor w_enc [d, m].");
  const [d, m] = matrixShape(file, "w_enc");
  const writes = writesOf(file, "w_dec", m, d);
  const skips = file.tensors.has(affine);
  expectTensors(
    file,
    {
      w_enc: [d, m],
      b_enc: [m],
      threshold: [m],
      w_dec: [m, writes, d],
      b_dec: [d],
      ...(skips && { [affine]: [d, d] }),
    },
    "Gemma Scope 2",
  );
  if (layer >= writes) {
    throw new Fault("import", [
      `${file.path}: w_dec writes to ${writes} layers, so there is no layer ${layer} among them. Is the file's name right?`,
    ]);
  }
  const read = {
    d,
    m,
    writes,
    firstWritten: 0,
    encoder: transpose(await file.readFloats("w_enc"), d, m),
    bias: await file.readFloats("b_enc"),
    atoms: await file.readFloats("w_dec"),
    center: await file.readFloats("b_dec"),
    threshold: await file.readFloats("threshold"),
    skip: skips ? await file.readFloats(affine) : null,
  };
  return transcoderOf(read, layer, "Gemma Scope 2", true, flags);
}

function writesOf({ path, tensors }: TensorFile, name: string, m: number, d: number): number {
  const { shape } = tensors.get(name) ?? { shape: [] };
  if (shape.length === 3 && shape[1]! > 0) return shape[1]!;
  const found = shape.length === 0 ? "missing" : `[${shape.join(", ")}]`;
  throw new FormatError(path, `${name} is ${found}; it should be [${m}, layers written, ${d}].`);
}

function transcoderOf(read: Layer, layer: number, from: string, rectify: boolean, flags: ImportFlags): Understood {
  const { d, m, writes, firstWritten, encoder, bias, atoms, threshold, skip } = read;
  const dOut = writes * d;
  const own = (layer - firstWritten) * d;
  const center = new Float32Array(dOut);
  center.set(read.center, own);
  const tensors: Record<string, Float32Array> = { encoder_weight: encoder, encoder_bias: bias };
  if (threshold !== null) tensors["threshold"] = threshold;
  if (skip !== null) {
    tensors["skip"] = new Float32Array(dOut * d);
    tensors["skip"].set(transpose(skip, d, d), own * d);
  }
  const parts = { role: "transcoder", dIn: d, dOut, m, atoms, center, tensors, common: fixedBy(from, false) } as const;
  const last = firstWritten + writes - 1;
  const said = {
    source: `${from} layer ${layer} of a cross-layer set`,
    provenance: {
      library: from === "circuit-tracer" ? "circuit-tracer" : "gemma-scope",
      layer,
      writes: [firstWritten, last],
    },
    taken: ["layer"] as const,
  };
  const notes = [
    `A transcoder from layer ${layer} to what its latents add to the layers ${firstWritten} to ${last}, ${d} numbers each.`,
    "Add up the outputs of all layers for those of the whole set; SAELens adds up the layers written instead.",
  ];
  if (threshold === null) return { ...said, ...onePassOf({ ...parts, kind: "relu", own: {} }, flags), notes };
  const settings = {
    comparison: { value: "strict", from },
    ...(!rectify && { rectify: { value: false, from } }),
  } as const;
  return {
    ...said,
    ...onePassOf<JumpReluSettings>({ ...parts, kind: "jumprelu", own: settings }, flags),
    notes: [...notes, `Thresholds from ${rangeOf(threshold)}.`],
  };
}
