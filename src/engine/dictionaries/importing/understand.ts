import { stat } from "node:fs/promises";
import { basename, extname, join, resolve } from "node:path";
import { sha256Of } from "../weights.ts";
import type { ImportFlags } from "./import-flags.ts";
import { ImportFault } from "./import-fault.ts";
import { SAE_LENS_CONFIG, SAE_LENS_WEIGHTS, understandSaeLens } from "./sae-lens.ts";
import { SPARSIFY_WEIGHTS, understandSparsify } from "./sparsify.ts";
import type { Understood } from "./understood.ts";
import { understandWeights } from "./weights-file.ts";

/** PyTorch's pickles: reading one runs what it says, so the server and its command line never do. */
const PICKLES = new Set([".pt", ".pth", ".bin", ".ckpt", ".pkl"]);

/**
 * What lies at a path, read and settled but not yet written.
 * @throws ImportFault naming what is missing or not served; FormatError when a file is not sound.
 */
export async function understand(path: string, flags: ImportFlags): Promise<Understood> {
  const understood = await understandPath(path, flags);
  const { kind } = understood.weights;
  if (flags.kind === undefined || flags.kind === kind) return understood;
  throw new ImportFault([
    `--kind ${flags.kind}: ${understood.source} is of kind ${kind}. Bare atoms (--from atoms) can be given another.`,
  ]);
}

async function understandPath(path: string, flags: ImportFlags): Promise<Understood> {
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
    throw new ImportFault([`${path} cannot be read (${error.code ?? error.message}).`]);
  });
  if (!found.isDirectory()) {
    if (PICKLES.has(extname(path).toLowerCase())) {
      throw new ImportFault([
        `${path} is a pickle, which can run code when it is read, so it is not. Convert it once, offline:`,
        `  python tools/convert/torch_to_safetensors.py ${path}`,
      ]);
    }
    return withSource(await understandWeights(path, flags), path, path);
  }
  if (flags.from !== undefined && flags.from !== "sae-lens" && flags.from !== "sparsify") {
    throw new ImportFault([
      `--from ${flags.from} takes a weights file (.safetensors, .npz, .npy); ${path} is a folder.`,
    ]);
  }
  const isFile = (name: string): Promise<boolean> =>
    stat(join(path, name)).then(
      (file) => file.isFile(),
      () => false,
    );
  if (await isFile(SAE_LENS_CONFIG)) {
    // sparsify's folders have a cfg.json, too, but other weights beside it.
    if (await isFile(SPARSIFY_WEIGHTS)) {
      return withSource(await understandSparsify(path, flags), path, join(path, SPARSIFY_WEIGHTS));
    }
    return withSource(await understandSaeLens(path, flags), path, join(path, SAE_LENS_WEIGHTS));
  }
  if (await isFile("params.npz"))
    throw new ImportFault([`${path} is a Gemma Scope folder; jumprelu is not served yet.`]);
  if (await isFile("runner_cfg.json")) {
    throw new ImportFault([
      `${path} holds SAELens' training settings (runner_cfg.json) but not ${SAE_LENS_CONFIG}: import the folder that save_model or save_inference_model wrote.`,
    ]);
  }
  throw new ImportFault([
    `${path} holds no ${SAE_LENS_CONFIG}, so it is no folder of SAELens or sparsify; the latter has one for each hook inside its checkpoint. For a weights file name the file itself.`,
  ]);
}

/** The same, its provenance saying which file the weights came from. */
async function withSource(understood: Understood, path: string, weights: string): Promise<Understood> {
  const source = { source: basename(resolve(path)), source_sha256: await sha256Of(weights) };
  return { ...understood, provenance: { ...source, imported_as: understood.source, ...understood.provenance } };
}
