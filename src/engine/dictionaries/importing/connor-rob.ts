import { stat } from "node:fs/promises";
import { expectTensors } from "./expect-tensors.ts";
import type { TensorFile } from "../formats/tensor-file.ts";
import type { ImportFlags } from "./import-flags.ts";
import { fixedBy, onePassOf, refusePursuitFlags, refuseTranscoder } from "./one-pass.ts";
import { Config, COUNT, STRING } from "./read-config.ts";
import { transpose } from "./transpose.ts";
import type { Understood } from "./understood.ts";

/** The settings beside <name>.pt, as Connor Kissane and Rob Krzyzanowski save them; null where there are none. */
export async function connorRobConfig(path: string): Promise<string | null> {
  const config = path.replace(/\.pt$/i, "_cfg.json");
  if (config === path) return null;
  const found = await stat(config).catch(() => null);
  return found?.isFile() ? config : null;
}

/**
 * An attention dictionary of Connor Kissane and Rob Krzyzanowski: W_enc [d, m], W_dec [m, d], b_enc, b_dec, ReLU, with b_dec
 * subtracted first.
 * @throws Fault, FormatError
 */
export async function understandConnorRob(file: TensorFile, path: string, flags: ImportFlags): Promise<Understood> {
  const layout = "Connor and Rob's hook_z dictionary";
  refusePursuitFlags(flags, layout);
  refuseTranscoder(flags, layout);
  const config = await Config.read(path, layout);
  const d = config.required("act_size", 1, COUNT);
  const m = config.required("dict_size", 1, COUNT);
  const hook = config.required("act_name", "", STRING);
  config.throwFaults();
  expectTensors(file, { W_enc: [d, m], W_dec: [m, d], b_enc: [m], b_dec: [d] }, layout);
  return {
    source: "Connor and Rob's relu",
    ...onePassOf(
      {
        kind: "relu",
        role: "autoencoder",
        dIn: d,
        dOut: d,
        m,
        atoms: await file.readFloats("W_dec"),
        center: await file.readFloats("b_dec"),
        tensors: {
          encoder_weight: transpose(await file.readFloats("W_enc"), d, m),
          encoder_bias: await file.readFloats("b_enc"),
        },
        common: fixedBy(layout, true),
        own: {},
      },
      flags,
    ),
    notes: [
      ...(hook.includes("hook_z") ? [`Rows are ${hook} flattened: n_heads · d_head = ${d} numbers each.`] : []),
      ...config.notes,
    ],
    provenance: { library: "connor-rob", hook_name: hook },
  };
}
