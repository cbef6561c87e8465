import type { DictionaryManifest } from "../../engine/core/dictionary.ts";

/** Tensors of the Open Inference Protocol: their datatypes, and the inputs and outputs of a dictionary. */

/** Bytes of one number, little-endian. */
export const NUMBER_BYTES = {
  BOOL: 1,
  UINT8: 1,
  UINT16: 2,
  UINT32: 4,
  UINT64: 8,
  INT8: 1,
  INT16: 2,
  INT32: 4,
  INT64: 8,
  FP16: 2,
  BF16: 2,
  FP32: 4,
  FP64: 8,
} as const;
export type NumberType = keyof typeof NUMBER_BYTES;
/** BYTES: each text after its length, uint32. */
export type Datatype = NumberType | "BYTES";

export interface TensorSpec {
  readonly name: string;
  readonly datatype: Datatype;
  /** −1: as many as there are rows, or atoms. */
  readonly shape: readonly number[];
  /** Inputs only: whether a request may leave it out. */
  readonly optional?: boolean;
}

/**
 * `rows`, and budgets with one entry per row. Budgets are declared as [n, 1] and accepted as [n] too: perf_analyzer
 * fails if nothing is left of an input's shape without its batch.
 */
export function inputTensors({ dIn }: DictionaryManifest): readonly TensorSpec[] {
  return [
    { name: "rows", datatype: "FP32", shape: [-1, dIn] },
    { name: "max_atoms", datatype: "INT32", shape: [-1, 1], optional: true },
    { name: "tolerance", datatype: "FP32", shape: [-1, 1], optional: true },
  ];
}

/** Outputs of an answer to a request that names none. */
export const STANDARD_OUTPUTS = ["indices", "values", "atoms", "relative_error", "stop"] as const;

/** All outputs, the standard ones first. */
export const OUTPUTS = [...STANDARD_OUTPUTS, "steps", "residual_norm", "reconstruction", "shift", "scale"] as const;
export type OutputName = (typeof OUTPUTS)[number];

/** `shift` and `scale` exist for dictionaries with an input norm, whose decode needs them. */
export function outputTensors({
  dOut,
  role,
  encoder,
}: DictionaryManifest): readonly (TensorSpec & { name: OutputName })[] {
  const perRow = [-1];
  // A transcoder's residual needs targets, which this protocol lacks, and its input norm is not undone.
  const measured = role === "autoencoder";
  return [
    { name: "indices", datatype: "INT32", shape: [-1, -1] },
    { name: "values", datatype: "FP32", shape: [-1, -1] },
    { name: "atoms", datatype: "INT32", shape: perRow },
    ...(measured ? [{ name: "relative_error", datatype: "FP32", shape: perRow } as const] : []),
    { name: "stop", datatype: "BYTES", shape: perRow },
    { name: "steps", datatype: "INT32", shape: perRow },
    ...(measured ? [{ name: "residual_norm", datatype: "FP32", shape: perRow } as const] : []),
    { name: "reconstruction", datatype: "FP32", shape: [-1, dOut] },
    ...(encoder.inputNorm === "none" || !measured
      ? []
      : ([
          { name: "shift", datatype: "FP32", shape: perRow },
          { name: "scale", datatype: "FP32", shape: perRow },
        ] as const)),
  ];
}
