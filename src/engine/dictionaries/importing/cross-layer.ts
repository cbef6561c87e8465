import { resolve } from "node:path";
import type { Block, Role } from "../../core/dictionary.ts";
import { Fault } from "../../core/errors.ts";
import { FLAG_VALUES, type ImportFlags } from "./import-flags.ts";
import {
  findCircuitTracerSet,
  findGemmaScopeSet,
  type LayerActivation,
  type LayerSet,
  type LayerShape,
  type LayerWeights,
} from "./layer-set.ts";
import { fixedBy, onePassOf, type OnePassParts, rangeOf, refusePursuitFlags } from "./one-pass.ts";
import { findSparsifySet } from "./sparsify-set.ts";
import type { Understood } from "./understood.ts";

/** The layers of a folder with a crosscoder or a cross-layer transcoder; null where it is no such folder. @throws Fault, FormatError */
export async function findLayerSet(folder: string): Promise<LayerSet | null> {
  const path = resolve(folder);
  return (await findCircuitTracerSet(path)) ?? (await findGemmaScopeSet(path)) ?? findSparsifySet(path);
}

/** The files that an import of a set reads: those of the layer that --layer names, or of all layers. @throws Fault */
export function filesOf({ layers }: LayerSet, { layer }: ImportFlags): readonly string[] {
  if (layer === undefined) return layers.flatMap(({ files }) => files);
  return layerOf(layers, layer).files;
}

/** @throws Fault where --layer names no layer of the folder */
function layerOf(layers: readonly LayerShape[], layer: number): LayerShape {
  const found = layers.find((one) => one.layer === layer);
  if (found !== undefined) return found;
  throw new Fault("import", [`--layer ${layer}: the folder holds the layers ${heldOf(layers)}.`]);
}

/** "0, 1, 3", or "0 to 25". */
function heldOf(layers: readonly LayerShape[]): string {
  const held = layers.map(({ layer }) => layer);
  return held.length > 8 ? `${held[0]} to ${held.at(-1)}` : held.join(", ");
}

/**
 * A set of layers as one dictionary, or with --layer one of them as a transcoder.
 * @param memoryLimit bytes that a dictionary may take
 * @throws Fault, FormatError
 */
export async function understandLayerSet(set: LayerSet, flags: ImportFlags, memoryLimit: number): Promise<Understood> {
  refusePursuitFlags(flags, `a set of layers of ${set.layout}`);
  const understood =
    flags.layer === undefined
      ? await understandWhole(set, flags, memoryLimit)
      : await understandLayer(set, layerOf(set.layers, flags.layer), flags);
  const provenance = { library: set.library, ...understood.provenance };
  return { ...understood, notes: [...understood.notes, ...set.notes], provenance, taken: ["layer"] };
}

/** Settings and tensors of the set's activation. */
function partsOf({ layout }: LayerSet, activation: LayerActivation, threshold: Float32Array | null) {
  const from = layout;
  const kept = threshold === null ? {} : { threshold };
  const notes = threshold === null ? [] : [`Thresholds from ${rangeOf(threshold)}.`];
  switch (activation.kind) {
    case "relu":
      return { kind: "relu", own: {}, kept, notes };
    case "jumprelu": {
      const rectify = activation.rectify ? {} : { rectify: { value: false, from } };
      return { kind: "jumprelu", own: { comparison: { value: "strict", from }, ...rectify }, kept, notes };
    }
    case "topk":
    case "groupmax": {
      const { kind, k, from: said } = activation;
      return { kind, own: { k: { value: k, from: said } }, kept, notes: [`Each layer keeps ${k} of its latents.`] };
    }
  }
}

/**
 * One layer as a transcoder: from the layer's row to what its latents add to each layer that they write to, side by side. The
 * outputs of all layers add up to those of the whole.
 */
async function understandLayer(set: LayerSet, shape: LayerShape, flags: ImportFlags): Promise<Understood> {
  const { layout } = set;
  if (flags.role !== undefined && flags.role !== "transcoder")
    throw new Fault("import", [
      `--role ${flags.role}: a layer of ${layout} is a transcoder; leave --role or --layer out.`,
    ]);
  const { layer, d, m, firstWritten, writes } = shape;
  const { encoder, bias, atoms, center, threshold, skip } = await set.read(shape);
  const { kind, own, kept, notes } = partsOf(set, shape.activation, threshold);
  const dOut = writes * d;
  const tensors: Record<string, Float32Array> = { encoder_weight: encoder, encoder_bias: bias, ...kept };
  if (skip !== null) {
    tensors["skip"] = new Float32Array(dOut * d);
    tensors["skip"].set(skip, (layer - firstWritten) * d * d);
  }
  const common = fixedBy(layout, false);
  const parts = { kind, role: "transcoder", dIn: d, dOut, m, atoms, center, tensors, common, own } as const;
  const last = firstWritten + writes - 1;
  return {
    source: `${layout} layer ${layer} of a cross-layer set`,
    ...onePassOf(parts as OnePassParts, flags),
    notes: [
      `A transcoder from layer ${layer} to what its latents add to the layers ${firstWritten} to ${last}, ${d} numbers each.`,
      "Add up the outputs of all layers for those of the whole set; SAELens adds up the layers written instead.",
      ...notes,
    ],
    provenance: { layer, writes: [firstWritten, last] },
  };
}

/** All layers as one dictionary: a block of atoms for each. */
async function understandWhole(set: LayerSet, flags: ImportFlags, memoryLimit: number): Promise<Understood> {
  const { layout, layers } = set;
  const role = roleOf(set, flags);
  const [{ d, activation }] = layers as readonly [LayerShape];
  const missing = layers.findIndex(({ layer }, i) => layer !== i);
  if (missing >= 0) {
    throw new Fault("import", [
      `The folder holds the layers ${heldOf(layers)}; layer ${missing} is missing. Put its files there, or import one layer: ${FLAG_VALUES.layer}.`,
    ]);
  }
  const blocks: Block[] = [];
  let m = 0;
  for (const one of layers) {
    const { layer, firstWritten, writes } = one;
    if (one.d !== d)
      throw new Fault("import", [
        `Layer ${layer} reads rows of ${one.d}, layer 0 of ${d}. Take all files from one set.`,
      ]);
    if (JSON.stringify(one.activation) !== JSON.stringify(activation)) {
      throw new Fault("import", [
        `Layer ${layer} has the activation ${JSON.stringify(one.activation)}, layer 0 ${JSON.stringify(activation)}. Take all files from one set, or import one layer: ${FLAG_VALUES.layer}.`,
      ]);
    }
    if (firstWritten + writes > layers.length) {
      throw new Fault("import", [
        `Layer ${layer} writes to the layers ${firstWritten} to ${firstWritten + writes - 1}; the folder holds ${layers.length} layers. Put the others there, or import one layer: ${FLAG_VALUES.layer}.`,
      ]);
    }
    blocks.push({ from: m, to: m + one.m, layer, writes: Array.from({ length: writes }, (_, i) => firstWritten + i) });
    m += one.m;
  }
  const width = layers.length * d;
  checkMemory({ m, width, d, layers: layers.length }, memoryLimit);
  const whole = {
    encoder: new Float32Array(m * d),
    bias: new Float32Array(m),
    atoms: new Float32Array(m * width),
    center: new Float32Array(width),
    threshold: activation.kind === "jumprelu" ? new Float32Array(m) : null,
    skip: null as Float32Array | null,
  };
  for (const [i, shape] of layers.entries()) {
    const read = await set.read(shape);
    place(whole, read, blocks[i]!, { width, d });
    if (read.skip !== null) {
      whole.skip ??= new Float32Array(layers.length * d * d);
      whole.skip.set(read.skip, shape.layer * d * d);
    }
  }
  const { kind, own, kept, notes } = partsOf(set, activation, whole.threshold);
  const tensors = {
    encoder_weight: whole.encoder,
    encoder_bias: whole.bias,
    ...kept,
    ...(whole.skip && { skip: whole.skip }),
  };
  const common = fixedBy(layout, false);
  const { atoms, center } = whole;
  const parts = {
    kind,
    role,
    dIn: width,
    dOut: width,
    m,
    atoms,
    center,
    tensors,
    common,
    own,
    layers: layers.length,
    blocks,
  };
  const k = "k" in activation ? activation.k : null;
  return {
    source: `${layout} ${role === "crosscoder" ? "crosscoder" : "cross-layer transcoder"}`,
    ...onePassOf(parts as OnePassParts, flags),
    notes: [
      `Rows and outputs are ${layers.length} layers of ${d} numbers side by side: [n, ${layers.length}, ${d}].`,
      ...notes,
    ],
    provenance: {},
    ...(k !== null && { defaultBudget: { maxAtoms: Math.min(k * layers.length, m) } }),
  };
}

/** @throws Fault where neither the files nor --role says */
function roleOf({ layout, role }: LayerSet, flags: ImportFlags): Role {
  const { role: said } = flags;
  if (said !== undefined && said !== "crosscoder" && said !== "cross_layer_transcoder") {
    throw new Fault("import", [
      `--role ${said}: a whole set of layers is a crosscoder or a cross_layer_transcoder. One layer is a transcoder: add ${FLAG_VALUES.layer}.`,
    ]);
  }
  if (role !== null && said !== undefined && said !== role)
    throw new Fault("import", [`--role ${said}: the files of ${layout} say ${role}; leave it out.`]);
  const known = role ?? said;
  if (known !== undefined) return known;
  throw new Fault("missing_flags", [
    `${layout} saves crosscoders and cross-layer transcoders alike, and no folder above is named clt or crosscoder. Add one of:`,
    "  --role crosscoder (outputs are the rows)",
    "  --role cross_layer_transcoder (outputs are other activations)",
    `  ${FLAG_VALUES.layer} (one layer, as a transcoder)`,
  ]);
}

/** @throws Fault where the whole would not fit */
function checkMemory(
  { m, width, d, layers }: { readonly m: number; readonly width: number; readonly d: number; readonly layers: number },
  memoryLimit: number,
): void {
  const needed = 4 * m * (d + width);
  if (needed <= memoryLimit) return;
  throw new Fault("import", [
    `All ${layers} layers take ${inMiB(needed)} of memory as float32; PURSUIT_MEMORY_LIMIT allows ${inMiB(memoryLimit)}. Import one layer as a transcoder: ${FLAG_VALUES.layer}.`,
  ]);
}

const inMiB = (bytes: number): string => `${Math.ceil(bytes / 2 ** 20).toLocaleString("en")} MiB`;

/** Puts a layer's tensors into those of the whole. */
function place(
  whole: Omit<LayerWeights, "skip">,
  read: LayerWeights,
  { from, to, writes }: Block,
  { width, d }: { readonly width: number; readonly d: number },
): void {
  whole.encoder.set(read.encoder, from * d);
  whole.bias.set(read.bias, from);
  if (read.threshold !== null) whole.threshold!.set(read.threshold, from);
  const written = writes.length * d;
  const at = writes[0]! * d;
  for (let j = from; j < to; j++) {
    const atom = (j - from) * written;
    whole.atoms.set(read.atoms.subarray(atom, atom + written), j * width + at);
  }
  for (let c = 0; c < written; c++) whole.center[at + c]! += read.center[c]!;
}
