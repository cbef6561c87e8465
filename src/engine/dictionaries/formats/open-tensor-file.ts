import { stat } from "node:fs/promises";
import { extname, join } from "node:path";
import { FormatError } from "./format-error.ts";
import { openNpy } from "./npy.ts";
import { openNpz } from "./npz.ts";
import { SafetensorsFile } from "./safetensors.ts";
import type { TensorFile } from "./tensor-file.ts";
import { openTorch, TORCH_ENDINGS } from "./torch.ts";

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
