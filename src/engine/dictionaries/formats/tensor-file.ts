import { stat } from "node:fs/promises";
import { extname, join } from "node:path";
import { FormatError } from "./format-error.ts";
import { openNpy } from "./npy.ts";
import { openNpz } from "./npz.ts";
import { SafetensorsFile } from "./safetensors.ts";
import { openTorch, TORCH_ENDINGS } from "./torch.ts";

/** A value beside tensors, such as a number of epochs. */
export type Setting = null | boolean | number | string | readonly Setting[];

/** What a file says of a tensor before any of it is read. */
export interface TensorHead {
  /** As the format names it: "F32", "<f4". */
  readonly dtype: string;
  readonly shape: readonly number[];
}

/** An open file of named tensors. Its head has been checked; no tensor is read yet. */
export interface TensorFile {
  readonly path: string;
  readonly tensors: ReadonlyMap<string, TensorHead>;
  /** Plain values that the file holds beside its tensors, and small integer tensors, by dotted name. */
  readonly settings?: ReadonlyMap<string, Setting>;
  /** Names of nested dicts that hold tensors themselves; "" is the outermost. Their tensors' names begin with it. */
  readonly stateDicts?: readonly string[];
  /**
   * One tensor as float32, row-major.
   * @throws FormatError when it is absent, not of a floating-point type, or not what the head says.
   */
  readFloats(name: string): Promise<Float32Array>;
  close(): Promise<void>;
}

const FLOAT_TYPES = new Set(["F64", "F32", "F16", "BF16", "<f8", "<f4", "<f2"]);

/** Whether {@link TensorFile.readFloats} reads tensors of this type. */
export const isFloatType = (dtype: string): boolean => FLOAT_TYPES.has(dtype);

/** What is read, by the file's ending. */
const OPENERS: Readonly<Record<string, (path: string) => Promise<TensorFile>>> = {
  ".safetensors": (path) => SafetensorsFile.open(path),
  ".npz": openNpz,
  ".npy": openNpy,
  ...Object.fromEntries(TORCH_ENDINGS.map((ending) => [ending, openTorch])),
};

/** @throws FormatError when the file is not of a format that is read, or not what its format says. */
export function openTensorFile(path: string): Promise<TensorFile> {
  const open = OPENERS[extname(path).toLowerCase()];
  if (open) return open(path);
  return Promise.reject(
    new FormatError(path, `ends in none of ${Object.keys(OPENERS).join(", ")}, the formats that are read.`),
  );
}

/** The file of tensors in a folder whose name without ending is `stem`: the safetensors file, or another that is read. */
export async function findTensorFile(folder: string, stem: string): Promise<string | null> {
  for (const ending of Object.keys(OPENERS)) {
    const path = join(folder, stem + ending);
    const found = await stat(path).catch(() => null);
    if (found?.isFile()) return path;
  }
  return null;
}
