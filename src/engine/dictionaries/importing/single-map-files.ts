import { Fault } from "../../core/errors.ts";
import { basename, extname } from "node:path";
import type { TopkSettings } from "../../encoders/topk.ts";
import { TORCH_ENDINGS } from "../formats/torch.ts";
import type { TensorFile } from "../formats/tensor-file.ts";
import { expectTensors, matrixShape } from "./expect-tensors.ts";
import { FLAG_VALUES, type ImportFlags } from "./import-flags.ts";
import { fixedBy, onePassOf, refusePursuitFlags, refuseTranscoder } from "./one-pass.ts";
import { transpose } from "./transpose.ts";
import type { Known, Understood } from "./understood.ts";

/** Publishers that save one torch file a dictionary, without a config. */
interface Publisher {
  readonly name: string;
  readonly library: string;
  readonly kind: "relu" | "topk";
  /** Encoder [m, d], its bias [m], decoder [d, m], its bias [d]. The bias is added in decode and never subtracted. */
  readonly tensors: readonly [encoder: string, encoderBias: string, decoder: string, decoderBias: string];
}

const linear = (encoder: string, decoder: string): Publisher["tensors"] => [
  `${encoder}.weight`,
  `${encoder}.bias`,
  `${decoder}.weight`,
  `${decoder}.bias`,
];

const PUBLISHERS: readonly Publisher[] = [
  { name: "Goodfire", library: "goodfire", kind: "relu", tensors: linear("encoder_linear", "decoder_linear") },
  { name: "DeepSeek-R1 (qresearch)", library: "deepseek-r1", kind: "relu", tensors: linear("encoder", "decoder") },
  { name: "Qwen Scope", library: "qwen-scope", kind: "topk", tensors: ["W_enc", "b_enc", "W_dec", "b_dec"] },
];

/** The publisher whose tensors a torch file holds, whatever else it holds; null for none. */
export function publisherOf({ path, tensors }: TensorFile): Publisher | null {
  if (!TORCH_ENDINGS.some((ending) => ending === extname(path).toLowerCase())) return null;
  const found = PUBLISHERS.find((publisher) => publisher.tensors.every((name) => tensors.has(name)));
  return found ?? null;
}

/** @throws Fault, FormatError */
export async function understandPublished(
  file: TensorFile,
  { name, library, kind, tensors }: Publisher,
  flags: ImportFlags,
): Promise<Understood> {
  refusePursuitFlags(flags, `a dictionary of ${name}`);
  refuseTranscoder(flags, name);
  const [encoder, encoderBias, decoder, decoderBias] = tensors;
  const [m, d] = matrixShape(file, encoder);
  expectTensors(file, { [encoder]: [m, d], [encoderBias]: [m], [decoder]: [d, m], [decoderBias]: [d] }, name);
  const k = kind === "topk" ? kOf(file, flags) : null;
  const parts = {
    role: "autoencoder",
    dIn: d,
    dOut: d,
    m,
    atoms: transpose(await file.readFloats(decoder), d, m),
    center: await file.readFloats(decoderBias),
    tensors: {
      encoder_weight: await file.readFloats(encoder),
      encoder_bias: await file.readFloats(encoderBias),
    },
    common: fixedBy(name, false),
  } as const;
  const said = {
    source: `${name} ${kind}`,
    provenance: { library, ...placeOf(file.path) },
    notes: [`Widths ${d} and ${m} are those of ${encoder}.`],
  };
  if (k === null) return { ...said, ...onePassOf({ ...parts, kind: "relu", own: {} }, flags) };
  const rectify: Known<boolean> =
    flags.rectify === undefined
      ? { value: true, from: "SAELens; --no-rectify keeps negative values, as the model card's example does" }
      : { value: flags.rectify, from: flags.rectify ? "--rectify" : "--no-rectify" };
  return {
    ...said,
    ...onePassOf<TopkSettings>({ ...parts, kind: "topk", own: { k, rectify } }, flags),
    defaultBudget: { maxAtoms: Math.min(k.value, m) },
    taken: ["k", "rectify"],
  };
}

/** @throws Fault where --k is missing */
function kOf({ path }: TensorFile, { k }: ImportFlags): Known<number> {
  if (k !== undefined) return { value: k, from: "--k" };
  throw new Fault("import", [
    `${path} has Qwen Scope's tensors, which do not say how many atoms a row keeps. Add ${FLAG_VALUES.k}: the number after L0_ in the repository's name.`,
  ]);
}

/** The layer that a file's name holds, such as layer12.sae.pt or Llama-3.1-8B-Instruct-SAE-l19.pth. */
function placeOf(path: string): { readonly layer?: number } {
  const [, layer] = /(?:^|[^a-z])l(?:ayer)?_?(\d+)(?!\d)/i.exec(basename(path)) ?? [];
  return layer === undefined ? {} : { layer: Number(layer) };
}
