import { join } from "node:path";
import type { TopkSettings } from "../../encoders/topk/spec.ts";
import { openTensorFile } from "../formats/open-tensor-file.ts";
import { expectShape } from "./expect-shape.ts";
import type { ImportFlags } from "./import-flags.ts";
import { ImportFault } from "./import-fault.ts";
import { Config, isBoolean, isCount, isString } from "./read-config.ts";
import { parted, topkFlags, type Understood } from "./understood.ts";

export const SPARSIFY_WEIGHTS = "sae.safetensors";

/**
 * A hookpoint's folder that EleutherAI's sparsify saved: cfg.json and sae.safetensors with encoder.weight [m, d],
 * encoder.bias [m], W_dec [m, d], b_dec [d]. sparsify/sparse_coder.py subtracts b_dec from every input and adds it back.
 * @throws ImportFault, FormatError
 */
export async function understandSparsify(folder: string, flags: ImportFlags): Promise<Understood> {
  const config = await Config.read(join(folder, "cfg.json"), "sparsify");
  refuse(config, flags);
  const d = config.said("d_in", 0, isCount).value;
  const latents = config.said("num_latents", 0, (value): value is number => value === 0 || isCount(value)).value;
  const m = latents || d * config.said("expansion_factor", 32, isCount).value;
  const { settings, origins } = parted<TopkSettings>(
    topkFlags(
      {
        k: config.said("k", 32, isCount),
        center: { value: true, from: "sparsify" },
        subtractCenter: { value: true, from: "sparsify" },
        inputNorm: { value: "none", from: "sparsify" },
      },
      flags,
    ),
  );
  const file = await openTensorFile(join(folder, SPARSIFY_WEIGHTS));
  try {
    const shapes = { "encoder.weight": [m, d], "encoder.bias": [m], W_dec: [m, d], b_dec: [d] };
    for (const [name, shape] of Object.entries(shapes)) {
      expectShape(file.path, file.tensors.get(name)?.shape, name, shape);
    }
    return {
      source: "sparsify topk",
      weights: {
        kind: "topk",
        d,
        m,
        atoms: await file.readFloats("W_dec"),
        center: await file.readFloats("b_dec"),
        settings,
        tensors: {
          encoder_weight: await file.readFloats("encoder.weight"),
          encoder_bias: await file.readFloats("encoder.bias"),
        },
      },
      origins,
      notes: [],
      provenance: { library: "sparsify" },
    };
  } finally {
    await file.close();
  }
}

/** @throws ImportFault */
function refuse(config: Config, flags: ImportFlags): void {
  const activation = config.said("activation", "topk", isString).value;
  const faults: string[] = [];
  if (!isCount(config.values["d_in"]))
    faults.push(`${config.file} must hold d_in, an integer ≥ 1: import a hookpoint's folder.`);
  if (activation !== "topk") faults.push(`activation ${JSON.stringify(activation)} is not served yet; topk is.`);
  for (const key of ["transcode", "skip_connection", "signed"]) {
    if (config.said(key, false, isBoolean).value) faults.push(`${key} is not served yet.`);
  }
  if (flags.normalize !== undefined) faults.push("--normalize: sparsify uses W_dec as it is; leave the flag out.");
  if (faults.length > 0) throw new ImportFault(faults.map((fault) => `${config.file}: ${fault}`));
}
