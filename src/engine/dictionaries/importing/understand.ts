import { Fault } from "../../core/errors.ts";
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import type { HalfType } from "../../core/float-formats.ts";
import { findTensorFile, openTensorFile } from "../formats/tensor-file.ts";
import { findCrossCoder, understandCrossCoder } from "./crosscoder.ts";
import { filesOf, findLayerSet, understandLayerSet } from "./cross-layer.ts";
import {
  DICTIONARY_LEARNING_CONFIG,
  DICTIONARY_LEARNING_WEIGHTS,
  understandDictionaryLearning,
} from "./dictionary-learning.ts";
import { GEMMA_SCOPE_WEIGHTS, understandGemmaScope } from "./gemma-scope.ts";
import { FLAG_VALUES, type ImportFlags } from "./import-flags.ts";
import { findLlamaScope, understandLlamaScope } from "./llama-scope.ts";
import { findMatryoshkaSae, understandMatryoshkaSae } from "./matryoshka-sae.ts";
import { findOpenMoss, understandOpenMoss } from "./openmoss.ts";
import { explainFolder } from "./other-layouts.ts";
import { SAE_LENS_CONFIG, SAE_LENS_WEIGHTS, understandSaeLens } from "./sae-lens.ts";
import { SPARSIFY_WEIGHTS, understandSparsify } from "./sparsify.ts";
import { LAYOUT_FLAGS, type Understood } from "./understood.ts";
import { understandWeights } from "./weights-file.ts";

/**
 * What lies at a path, read and settled but not yet written.
 * @param memoryLimit bytes that a dictionary may take: of several layers, one can be imported instead
 * @throws Fault naming what is missing, or what it is and what to do instead; FormatError when a file is not sound.
 */
export async function understand(path: string, flags: ImportFlags, memoryLimit = Infinity): Promise<Understood> {
  const understood = await understandPath(path, flags, memoryLimit);
  refuseUntaken(understood, flags);
  const { kind } = understood.weights;
  if (flags.kind === undefined || flags.kind === kind) return understood;
  throw new Fault("import", [
    `--kind ${flags.kind}: ${understood.source} is of kind ${kind}. Bare atoms (--from atoms) can be given another.`,
  ]);
}

/** @throws Fault for a flag that says what the layout itself says, or what it does not have */
function refuseUntaken({ source, taken = [] }: Understood, flags: ImportFlags): void {
  const given = LAYOUT_FLAGS.filter((name) => flags[name] !== undefined && !taken.includes(name));
  if (given.length === 0) return;
  const named = given
    .map((name) => (flags[name] === false ? `--no-${name}` : FLAG_VALUES[name].split(" ")[0]!))
    .join(", ");
  throw new Fault("import", [`${named}: ${source} does not take this flag; leave it out.`]);
}

async function understandPath(path: string, flags: ImportFlags, memoryLimit: number): Promise<Understood> {
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
    throw new Fault("import", [`${path} cannot be read (${error.code ?? error.message}).`]);
  });
  if (!found.isDirectory()) {
    return withSource(path, [path], () => understandWeights(path, flags));
  }
  if (flags.from !== undefined && flags.from !== "sae-lens" && flags.from !== "sparsify") {
    throw new Fault("import", [
      `--from ${flags.from} takes a weights file (.safetensors, .npz, .npy, .pt); ${path} is a folder.`,
    ]);
  }
  const isFile = (name: string): Promise<boolean> =>
    stat(join(path, name)).then(
      (file) => file.isFile(),
      () => false,
    );
  if (await isFile(SAE_LENS_CONFIG)) {
    const saeLens = await findTensorFile(path, SAE_LENS_WEIGHTS);
    // sparsify's folders have a cfg.json, too, but other weights beside it.
    const sparsify = saeLens === null ? await findTensorFile(path, SPARSIFY_WEIGHTS) : null;
    if (sparsify !== null) return withSource(path, [sparsify], () => understandSparsify(path, sparsify, flags));
    return withSource(path, [saeLens ?? ""], () => understandSaeLens(path, saeLens, flags));
  }
  const layers = await findLayerSet(path);
  if (layers !== null) {
    return withSource(path, filesOf(layers, flags), () => understandLayerSet(layers, flags, memoryLimit));
  }
  const crossCoder = await findCrossCoder(path);
  if (crossCoder !== null) return withSource(path, [crossCoder], () => understandCrossCoder(crossCoder, flags));
  const openMoss = await findOpenMoss(path);
  if (openMoss !== null) return withSource(path, [openMoss], () => understandOpenMoss(path, openMoss, flags));
  const llamaScope = await findLlamaScope(path);
  if (llamaScope !== null) {
    const [layout, weights] = llamaScope;
    return withSource(path, [weights], () => understandLlamaScope(path, layout, weights, flags));
  }
  const ae = await findTensorFile(path, DICTIONARY_LEARNING_WEIGHTS);
  if (ae !== null) {
    if (await isFile(DICTIONARY_LEARNING_CONFIG)) {
      return withSource(path, [ae], () => understandDictionaryLearning(path, ae, flags));
    }
    throw new Fault("import", [
      `${path} holds ${basename(ae)} but no ${DICTIONARY_LEARNING_CONFIG}, which names the class of dictionary_learning. Put it beside the weights.`,
    ]);
  }
  const matryoshka = await findMatryoshkaSae(path);
  if (matryoshka !== null)
    return withSource(path, [matryoshka], () => understandMatryoshkaSae(path, matryoshka, flags));
  const params = await findTensorFile(path, GEMMA_SCOPE_WEIGHTS);
  if (params !== null) return withSource(path, [params], () => understandGemmaScope(path, params, flags));
  throw new Fault("import", await explainFolder(path));
}

/**
 * Adds the weights files and their digest to the provenance.
 * @throws Fault when the file was replaced or written to between its reading and its digest.
 */
async function withSource(
  path: string,
  weights: readonly string[],
  read: () => Promise<Understood>,
): Promise<Understood> {
  const before = await Promise.all(weights.map(changeMark));
  const understood = await read();
  const source = { source: basename(resolve(path)), source_sha256: await sha256Of(weights) };
  const after = await Promise.all(weights.map(changeMark));
  const changed = weights.find((_, i) => after[i] !== before[i]);
  if (changed !== undefined) {
    throw new Fault("import", [`${changed} changed while it was read. Import it again when nothing writes to it.`]);
  }
  const stored = await halfTypeOf(weights[0]!);
  return {
    ...understood,
    ...(stored && { stored }),
    provenance: { ...source, imported_as: understood.source, ...understood.provenance },
  };
}

/** The type of 16 bits that a file stores tensors in; null where it has none. */
async function halfTypeOf(path: string): Promise<HalfType | null> {
  const file = await openTensorFile(path);
  try {
    const types = new Set([...file.tensors.values()].map(({ dtype }) => dtype));
    return types.has("BF16") ? "BF16" : types.has("F16") || types.has("<f2") ? "F16" : null;
  } finally {
    await file.close();
  }
}

/** Changes when another file takes the name, and with every write. Empty where there is no file: its reader says so. */
async function changeMark(path: string): Promise<string> {
  const found = await stat(path, { bigint: true }).catch(() => null);
  return found === null ? "" : [found.dev, found.ino, found.size, found.mtimeNs, found.ctimeNs].join();
}

/** Digest of files, one after the other. */
async function sha256Of(paths: readonly string[]): Promise<string> {
  const hash = createHash("sha256");
  for (const path of paths) {
    for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
  }
  return hash.digest("hex");
}
