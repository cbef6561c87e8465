import { Fault } from "../../core/errors.ts";
import { readFile } from "node:fs/promises";
import { basename, dirname, extname, join } from "node:path";
import type { JumpReluSettings } from "../../encoders/jumprelu.ts";
import type { TopkSettings } from "../../encoders/topk.ts";
import { FormatError } from "../formats/format-error.ts";
import type { TensorFile } from "../formats/tensor-file.ts";
import { expectTensors, matrixShape } from "./expect-tensors.ts";
import { FLAG_VALUES, type ImportFlags } from "./import-flags.ts";
import { fixedBy, onePassOf, rangeOf, refusePursuitFlags } from "./one-pass.ts";
import { COUNT } from "./read-config.ts";
import { transpose } from "./transpose.ts";
import type { Known, Understood } from "./understood.ts";

const THRESHOLD = "activation_function.threshold";
const SKIP = "W_skip";
const K = "k";
const CONFIG = "config.yaml";

/** Whether a safetensors file holds a layer's encoder and decoder, as circuit-tracer saves layer_<i>.safetensors. */
export const isCircuitTracer = ({ path, tensors }: TensorFile): boolean =>
  extname(path).toLowerCase() === ".safetensors" &&
  /^layer_?\d+\./.test(basename(path)) &&
  ["W_enc", "W_dec", "b_enc", "b_dec"].every((name) => tensors.has(name));

/**
 * A layer's transcoder of circuit-tracer: W_enc [m, d_in], W_dec [m, d_out] (before July 2025 [d_out, m]), b_enc, b_dec and,
 * where it has them, W_skip [d_out, d_in], thresholds [m] and k. Its activations are not rectified under a threshold or a k.
 * @throws Fault, FormatError
 */
export async function understandCircuitTracer(file: TensorFile, flags: ImportFlags): Promise<Understood> {
  refusePursuitFlags(flags, "circuit-tracer's transcoder");
  if (flags.role === "autoencoder") {
    throw new Fault("import", ["--role autoencoder: circuit-tracer's layer files are transcoders; leave it out."]);
  }
  const [m, dIn] = matrixShape(file, "W_enc");
  const dOut = widthOf(file, "b_dec");
  const [rows, columns] = matrixShape(file, "W_dec");
  const across = rows !== m && rows === dOut && columns === m;
  const [skip, thresholds] = [file.tensors.has(SKIP), file.tensors.has(THRESHOLD)];
  expectTensors(
    file,
    {
      W_enc: [m, dIn],
      W_dec: across ? [dOut, m] : [m, dOut],
      b_enc: [m],
      b_dec: [dOut],
      ...(skip && { [SKIP]: [dOut, dIn] }),
      ...(thresholds && { [THRESHOLD]: [m] }),
    },
    "circuit-tracer",
    [K],
  );
  const decoder = await file.readFloats("W_dec");
  const tensors: Record<string, Float32Array> = {
    encoder_weight: await file.readFloats("W_enc"),
    encoder_bias: await file.readFloats("b_enc"),
  };
  if (skip) tensors["skip"] = await file.readFloats(SKIP);
  const k = await kOf(file, flags, thresholds);
  const parts = {
    role: "transcoder",
    dIn,
    dOut,
    m,
    atoms: across ? transpose(decoder, dOut, m) : decoder,
    center: await file.readFloats("b_dec"),
    tensors,
    common: fixedBy("circuit-tracer", false),
  } as const;
  const notes = [
    `A transcoder from width ${dIn} to ${dOut}${skip ? ", with a skip" : ""}.`,
    ...(across ? ["W_dec is stored [d_out, m], as before July 2025."] : []),
  ];
  const from = "circuit-tracer";
  const said = { taken: ["k", "rectify"], provenance: { library: from, layer: layerOf(file.path) } } as const;
  const rectify = rectifyOf(flags, { value: false, from });
  if (k !== null) {
    return {
      ...said,
      source: "circuit-tracer topk transcoder",
      ...onePassOf<TopkSettings>({ ...parts, kind: "topk", own: { k, rectify } }, flags),
      notes,
      defaultBudget: { maxAtoms: Math.min(k.value, m) },
    };
  }
  if (thresholds) {
    const threshold = await file.readFloats(THRESHOLD);
    tensors["threshold"] = threshold;
    const own = { comparison: { value: "strict", from }, rectify } as const;
    return {
      ...said,
      source: "circuit-tracer jumprelu transcoder",
      ...onePassOf<JumpReluSettings>({ ...parts, kind: "jumprelu", own }, flags),
      notes: [...notes, `Thresholds from ${rangeOf(threshold)}.`],
    };
  }
  return {
    ...said,
    taken: [],
    source: "circuit-tracer relu transcoder",
    ...onePassOf({ ...parts, kind: "relu", own: {} }, flags),
    notes,
  };
}

function widthOf({ path, tensors }: TensorFile, name: string): number {
  const { shape } = tensors.get(name)!;
  if (shape.length === 1 && shape[0]! > 0) return shape[0]!;
  throw new FormatError(path, `${name} is [${shape.join(", ")}]; it should be [d_out].`);
}

function rectifyOf({ rectify }: ImportFlags, known: Known<boolean>): Known<boolean> {
  return rectify === undefined ? known : { value: rectify, from: rectify ? "--rectify" : "--no-rectify" };
}

/** k of the file, or of --k; null where the activation is another. @throws Fault where the two contradict */
async function kOf(file: TensorFile, { k: given }: ImportFlags, thresholds: boolean): Promise<Known<number> | null> {
  const stored = file.tensors.has(K) ? await readK(file) : null;
  if (stored !== null && given !== undefined && given !== stored) {
    throw new Fault("import", [`--k ${given}: ${file.path} holds k ${stored}; leave the flag out.`]);
  }
  const k: Known<number> | null =
    stored !== null
      ? { value: stored, from: "the file's k" }
      : given === undefined
        ? null
        : { value: given, from: "--k" };
  if (k !== null && thresholds) {
    throw new Fault("import", [`${file.path} holds ${THRESHOLD}, but ${k.from} says top k. Leave one of them out.`]);
  }
  if (k === null && !thresholds && (await saysTopk(file.path))) {
    throw new Fault("import", [
      `${CONFIG} beside ${file.path} says activation topk, but the file holds no k. Add ${FLAG_VALUES.k}.`,
    ]);
  }
  return k;
}

/** An integer or a float of one element. */
async function readK(file: TensorFile): Promise<number> {
  const { dtype, shape } = file.tensors.get(K)!;
  const count = shape.reduce((product, size) => product * size, 1);
  const stored = [file.settings?.get(K) ?? []].flat();
  const [value] = count !== 1 ? [] : stored.length === 1 ? stored : await file.readFloats(K);
  if (COUNT.test(value)) return value;
  throw new FormatError(
    file.path,
    `k must be one integer ≥ 1; it is ${value === undefined ? `[${shape.join(", ")}] ${dtype}` : String(value)}.`,
  );
}

/** Whether the set's config.yaml names top k as the activation of every layer. Many sets have no such line. */
async function saysTopk(path: string): Promise<boolean> {
  const text = await readFile(join(dirname(path), CONFIG), "utf8").catch(() => "");
  return /^activation(?:_function)?\s*:\s*["']?topk\b/im.test(text);
}

const layerOf = (path: string): number => Number(/\d+/.exec(basename(path))![0]);
