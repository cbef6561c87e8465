import { Fault } from "../../core/errors.ts";
import { readdir, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { isObject } from "../../core/json-object.ts";
import { readJsonFile } from "../formats/json-file.ts";
import { findTensorFile, type TensorFile } from "../formats/tensor-file.ts";
import { expectTensors, openWeights } from "./expect-tensors.ts";
import type { LayerSet, LayerShape, LayerWeights } from "./layer-set.ts";
import { readSparsifyConfig, SPARSIFY_WEIGHTS, type SparsifyConfig } from "./sparsify.ts";
import { scaled } from "./transpose.ts";

const FROM = "clt-training";
const MAX_CONFIG_BYTES = 1 << 20;
/** Far more folders than a model has layers. */
const MAX_FOLDERS = 1024;

/** A layer's folder, its settings, and the mean norms of its rows and outputs. */
interface Source {
  readonly path: string;
  readonly weights: string;
  readonly config: SparsifyConfig;
  readonly norms: readonly [input: number, output: number];
}

/**
 * A cross-layer transcoder of EleutherAI's clt-training: a folder for each layer with cfg.json and sae.safetensors, in which
 * W_decs.<i> [m, d] and b_decs.<i> [d] write to the i-th layer from its own on. null where the folder holds none.
 * @throws Fault, FormatError
 */
export async function findSparsifySet(folder: string): Promise<LayerSet | null> {
  const entries = await readdir(folder, { withFileTypes: true });
  const names = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  const found = await Promise.all(names.slice(0, MAX_FOLDERS).map((name) => writesOverLayers(join(folder, name))));
  if (!found.includes(true)) return null;
  // As clt-training orders them: layers.2 comes before layers.10.
  const paths = names
    .filter((_, i) => found[i] !== null)
    .toSorted((a, b) => a.localeCompare(b, "en", { numeric: true }))
    .map((name) => join(folder, name));
  const sources: Source[] = [];
  for (const path of paths) sources.push(await openSource(path));
  const layers = sources.map(({ path, weights, config }, layer): LayerShape => {
    const { d, m, kind, k, targets } = config;
    const activation = { kind, k: k.value, from: k.from };
    return {
      layer,
      files: [weights, join(path, "cfg.json")],
      d,
      m,
      firstWritten: layer,
      writes: Math.max(1, targets),
      activation,
    };
  });
  return {
    layout: FROM,
    library: "sparsify",
    layers,
    role: "cross_layer_transcoder",
    notes: [
      `Layers in order: ${paths
        .slice(0, 8)
        .map((path) => basename(path))
        .join(", ")}${paths.length > 8 ? ", …" : ""}.`,
    ],
    read: (shape) => readLayer(shape, sources),
  };
}

/** Whether a folder holds a layer that writes to others; null where it is no layer of clt-training. */
async function writesOverLayers(folder: string): Promise<boolean | null> {
  const path = join(folder, "cfg.json");
  if (!(await stat(path).catch(() => null))?.isFile()) return null;
  const { value } = await readJsonFile(path, MAX_CONFIG_BYTES).catch(() => ({ value: null }));
  return isObject(value) && value["transcode"] === true ? Number(value["n_targets"]) > 1 : null;
}

async function openSource(path: string): Promise<Source> {
  const config = await readSparsifyConfig(path, {}, true);
  const weights = await findTensorFile(path, SPARSIFY_WEIGHTS);
  if (weights === null) {
    throw new Fault("import", [
      `${path} holds cfg.json but no ${SPARSIFY_WEIGHTS}.safetensors: put the weights of this layer there, or take its folder away.`,
    ]);
  }
  const file = await openWeights(weights);
  try {
    const { d, m, targets, skip, normalized } = config;
    const names = Array.from({ length: targets }, (_, i) => i);
    const each = (name: string, shape: readonly number[]) =>
      Object.fromEntries(names.map((i) => [`${name}.${i}`, shape] as const));
    const posts = Object.fromEntries(
      [...file.tensors.keys()]
        .filter((name) => /^post_encs?(?:\.\d+)?$/.test(name))
        .map((name) => [name, [m]] as const),
    );
    const decoders =
      targets === 0 ? { W_dec: [m, d], b_dec: [d] } : { ...each("W_decs", [m, d]), ...each("b_decs", [d]) };
    const skips = targets === 0 ? { W_skip: [d, d] } : each("W_skips", [d, d]);
    expectTensors(
      file,
      {
        "encoder.weight": [m, d],
        "encoder.bias": [m],
        ...decoders,
        ...(skip && skips),
        ...(normalized && { in_norm: [1], out_norm: [1] }),
        ...posts,
      },
      FROM,
      // The first of each list, saved again under a name of its own.
      ["W_dec", "b_dec", "W_skip"],
    );
    for (const name of Object.keys(posts)) await refuseNonZero(file, name, POST_ENCODER);
    if (skip) for (let i = 1; i < targets; i++) await refuseNonZero(file, `W_skips.${i}`, SKIP);
    return { path, weights, config, norms: normalized ? await normsOf(file) : [Math.sqrt(d), Math.sqrt(d)] };
  } finally {
    await file.close();
  }
}

const POST_ENCODER =
  "is added to active latents after the top k, which Pursuit does not do. Train with train_post_encoder false";
const SKIP = "adds a map of the row to another layer, which Pursuit does not do. Train with skip_connection false";

/** @throws Fault where a tensor that must be zeros is not */
async function refuseNonZero(file: TensorFile, name: string, why: string): Promise<void> {
  if ((await file.readFloats(name)).every((value) => value === 0)) return;
  throw new Fault("import", [`${file.path}: ${name} ${why}, which leaves it at zeros.`]);
}

/** @throws Fault where a mean norm is no positive number */
async function normsOf(file: TensorFile): Promise<readonly [number, number]> {
  const norms = [(await file.readFloats("in_norm"))[0]!, (await file.readFloats("out_norm"))[0]!] as const;
  if (norms.every((value) => Number.isFinite(value) && value > 0)) return norms;
  throw new Fault("import", [
    `${file.path}: in_norm and out_norm are ${norms.join(" and ")}; a mean norm is a number above 0. Save the file again.`,
  ]);
}

/**
 * One layer's tensors, folded: rows are scaled by √d / in_norm of their layer, outputs by out_norm / √d of the layer written, and
 * under divide_cross_layer what earlier layers add is divided by their number.
 */
async function readLayer({ layer, d, m, writes }: LayerShape, sources: readonly Source[]): Promise<LayerWeights> {
  const { weights, config, norms } = sources[layer]!;
  const { targets, skip } = config;
  const factorIn = Math.sqrt(d) / norms[0];
  const file = await openWeights(weights);
  try {
    const atoms = new Float32Array(m * writes * d);
    const center = new Float32Array(writes * d);
    for (let i = 0; i < writes; i++) {
      const factor = factorTo(layer, layer + i, sources, d);
      const decoder = scaled(await file.readFloats(targets === 0 ? "W_dec" : `W_decs.${i}`), factor);
      for (let j = 0; j < m; j++) atoms.set(decoder.subarray(j * d, (j + 1) * d), (j * writes + i) * d);
      center.set(scaled(await file.readFloats(targets === 0 ? "b_dec" : `b_decs.${i}`), factor), i * d);
    }
    const own = targets === 0 ? "W_skip" : "W_skips.0";
    return {
      encoder: scaled(await file.readFloats("encoder.weight"), factorIn),
      bias: await file.readFloats("encoder.bias"),
      atoms,
      center,
      threshold: null,
      skip: skip ? scaled(await file.readFloats(own), factorIn * factorTo(layer, layer, sources, d)) : null,
    };
  } finally {
    await file.close();
  }
}

/** Factor of what a layer adds to another. A layer that is missing from the set is refused where all are imported. */
function factorTo(source: number, target: number, sources: readonly Source[], d: number): number {
  const written = sources[target];
  if (written === undefined) return 1;
  const factor = written.norms[1] / Math.sqrt(d);
  if (source === target || !written.config.divided) return factor;
  const earlier = sources.filter(({ config }, layer) => layer < target && target - layer < Math.max(1, config.targets));
  return factor / Math.max(1, earlier.length);
}
