import { Fault } from "../../core/errors.ts";
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { FormatError } from "../formats/format-error.ts";
import type { TensorFile } from "../formats/tensor-file.ts";
import { expectTensors, matrixShape, openWeights } from "./expect-tensors.ts";
import { transpose } from "./transpose.ts";

/** Shapes of one layer of a set, and the layers that it writes to. */
export interface LayerShape {
  /** Position in the set, from 0. */
  readonly layer: number;
  /** Files of its weights. */
  readonly files: readonly string[];
  readonly d: number;
  readonly m: number;
  /** The latents write to `writes` layers, this one first. */
  readonly firstWritten: number;
  readonly writes: number;
  readonly activation: LayerActivation;
}

/** Tensors of one layer by Pursuit's names. */
export interface LayerWeights {
  /** [m, d] */
  readonly encoder: Float32Array;
  /** [m] */
  readonly bias: Float32Array;
  /** [m, writes · d] */
  readonly atoms: Float32Array;
  /** [writes · d] what this layer adds to each layer that it writes to. */
  readonly center: Float32Array;
  /** [m]; null where there is none. */
  readonly threshold: Float32Array | null;
  /** [d, d] of the layer's own output, as it multiplies a row from the left; null where there is none. */
  readonly skip: Float32Array | null;
}

/** Layers whose latents read one layer each and write to several. */
export interface LayerSet {
  /** Of the publisher, such as "circuit-tracer". */
  readonly layout: string;
  readonly library: string;
  /** By number; some may be missing. */
  readonly layers: readonly LayerShape[];
  /** What it predicts: the rows themselves, or other activations; null where the files do not say. */
  readonly role: "crosscoder" | "cross_layer_transcoder" | null;
  readonly notes: readonly string[];
  /** @throws Fault, FormatError */
  read(layer: LayerShape): Promise<LayerWeights>;
}

export type LayerActivation =
  | { readonly kind: "relu" }
  /** `rectify`: negative values over a negative threshold are dropped. */
  | { readonly kind: "jumprelu"; readonly rectify: boolean }
  /** Within each layer's latents. */
  | { readonly kind: "topk" | "groupmax"; readonly k: number; readonly from: string };

/** Files of layers, ascending by the number in their names. */
async function numbered(folder: string, pattern: RegExp): Promise<readonly (readonly [number, string])[]> {
  const files = (await readdir(folder)).flatMap((name) => {
    const found = pattern.exec(name);
    return found === null ? [] : [[Number(found[1]), join(folder, name)] as const];
  });
  return files.toSorted(([a], [b]) => a - b);
}

/** @throws FormatError where the decoder is not [m, layers written, d] */
function writesOf({ path, tensors }: TensorFile, name: string, m: number, d: number): number {
  const { shape } = tensors.get(name) ?? { shape: [] };
  if (shape.length === 3 && shape[1]! > 0) return shape[1]!;
  const found = shape.length === 0 ? "missing" : `[${shape.join(", ")}]`;
  throw new FormatError(path, `${name} is ${found}; it should be [${m}, layers written, ${d}].`);
}

async function withFile<T>(path: string, read: (file: TensorFile) => T | Promise<T>): Promise<T> {
  const file = await openWeights(path);
  try {
    return await read(file);
  } finally {
    await file.close();
  }
}

const CIRCUIT_TRACER = /^W_enc_(\d+)\.safetensors$/;

/**
 * circuit-tracer's cross-layer transcoders; null where the folder holds none. W_enc_<l>.safetensors: W_enc_l [m, d], b_enc_l,
 * b_dec_l, threshold_l; W_dec_<l>.safetensors: W_dec_l [m, layers from l on, d].
 * @throws Fault, FormatError
 */
export async function findCircuitTracerSet(folder: string): Promise<LayerSet | null> {
  const files = await numbered(folder, CIRCUIT_TRACER);
  if (files.length === 0) return null;
  const layers: LayerShape[] = [];
  for (const [layer, path] of files) layers.push(await circuitTracerShape(path, layer));
  return {
    layout: "circuit-tracer",
    library: "circuit-tracer",
    layers,
    role: "cross_layer_transcoder",
    notes: [],
    read: readCircuitTracer,
  };
}

function circuitTracerShape(path: string, layer: number): Promise<LayerShape> {
  const layout = "circuit-tracer's cross-layer transcoder";
  return withFile(path, async (file) => {
    const [encoder, bias, center, threshold] = ["W_enc", "b_enc", "b_dec", "threshold"].map(
      (name) => `${name}_${layer}`,
    );
    if (!file.tensors.has(encoder!)) throw new FormatError(file.path, `holds no tensor ${encoder} [m, d].`);
    const [m, d] = matrixShape(file, encoder!);
    const thresholded = file.tensors.has(threshold!);
    expectTensors(
      file,
      { [encoder!]: [m, d], [bias!]: [m], [center!]: [d], ...(thresholded && { [threshold!]: [m] }) },
      layout,
    );
    const decoder = path.replace(/W_enc_(\d+\.safetensors)$/, "W_dec_$1");
    if (!(await stat(decoder).catch(() => null))) {
      throw new Fault("import", [`${path} has no decoder beside it: put W_dec_${layer}.safetensors there.`]);
    }
    const writes = await withFile(decoder, (other) => {
      const written = writesOf(other, `W_dec_${layer}`, m, d);
      expectTensors(other, { [`W_dec_${layer}`]: [m, written, d] }, layout);
      return written;
    });
    // Its code keeps whatever exceeds a threshold, below zero too.
    const activation = thresholded ? ({ kind: "jumprelu", rectify: false } as const) : ({ kind: "relu" } as const);
    return { layer, files: [path, decoder], d, m, firstWritten: layer, writes, activation };
  });
}

async function readCircuitTracer({ layer, files, d, writes, activation }: LayerShape): Promise<LayerWeights> {
  const center = new Float32Array(writes * d);
  return withFile(files[0]!, async (file) => {
    center.set(await file.readFloats(`b_dec_${layer}`));
    return {
      encoder: await file.readFloats(`W_enc_${layer}`),
      bias: await file.readFloats(`b_enc_${layer}`),
      atoms: await withFile(files[1]!, (decoder) => decoder.readFloats(`W_dec_${layer}`)),
      center,
      threshold: activation.kind === "jumprelu" ? await file.readFloats(`threshold_${layer}`) : null,
      skip: null,
    };
  });
}

const GEMMA_SCOPE = /^params_layer_(\d+)\.safetensors$/;
const AFFINE = "affine_skip_connection";

/**
 * Cross-layer transcoders and crosscoders of Gemma Scope 2; null where the folder holds none. params_layer_<l>.safetensors: w_enc
 * [d, m], b_enc, threshold, w_dec [m, layers, d], b_dec, affine_skip_connection [d, d]. The files of both are alike: a folder
 * named clt or crosscoder above them tells, or an affine connection.
 * @throws Fault, FormatError
 */
export async function findGemmaScopeSet(folder: string): Promise<LayerSet | null> {
  const files = await numbered(folder, GEMMA_SCOPE);
  if (files.length === 0) return null;
  const layers: LayerShape[] = [];
  let affine = false;
  for (const [layer, path] of files) {
    await withFile(path, (file) => {
      if (!file.tensors.has("w_enc")) throw new FormatError(file.path, "holds no tensor w_enc [d, m].");
      const [d, m] = matrixShape(file, "w_enc");
      const writes = writesOf(file, "w_dec", m, d);
      const skips = file.tensors.has(AFFINE);
      affine ||= skips;
      const vectors = { b_enc: [m], threshold: [m], b_dec: [d] };
      expectTensors(
        file,
        { w_enc: [d, m], ...vectors, w_dec: [m, writes, d], ...(skips && { [AFFINE]: [d, d] }) },
        "Gemma Scope 2",
      );
      if (layer >= writes) {
        throw new Fault("import", [
          `${path}: w_dec writes to ${writes} layers, so there is no layer ${layer} among them. Is the file's name right?`,
        ]);
      }
      layers.push({
        layer,
        files: [path],
        d,
        m,
        firstWritten: 0,
        writes,
        activation: { kind: "jumprelu", rectify: true },
      });
    });
  }
  const role = affine || /(?:^|[\\/])clt/i.test(folder) ? "cross_layer_transcoder" : null;
  return {
    layout: "Gemma Scope 2",
    library: "gemma-scope",
    layers,
    role: role ?? (/(?:^|[\\/])crosscoder/i.test(folder) ? "crosscoder" : null),
    notes: [],
    read: readGemmaScope,
  };
}

function readGemmaScope({ layer, files, d, m, writes }: LayerShape): Promise<LayerWeights> {
  return withFile(files[0]!, async (file) => {
    const center = new Float32Array(writes * d);
    center.set(await file.readFloats("b_dec"), layer * d);
    return {
      encoder: transpose(await file.readFloats("w_enc"), d, m),
      bias: await file.readFloats("b_enc"),
      atoms: await file.readFloats("w_dec"),
      center,
      threshold: await file.readFloats("threshold"),
      // Stored for x @ skip.
      skip: file.tensors.has(AFFINE) ? transpose(await file.readFloats(AFFINE), d, d) : null,
    };
  });
}
