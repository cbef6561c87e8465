import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { MANIFEST_FILE, manifestText } from "../../src/engine/catalog/folder/manifest.ts";
import { WEIGHTS_FILE } from "../../src/engine/catalog/folder/weights.ts";
import { encodeSafetensors } from "../../src/engine/catalog/formats/safetensors.ts";
import type { DictionaryManifest, PursuitSettings } from "../../src/engine/dictionary.ts";

export interface Model {
  readonly id: string;
  readonly d: number;
  /** [m, d] */
  readonly atoms: Float32Array;
  readonly center?: Float32Array;
  readonly settings?: Partial<PursuitSettings>;
}

export function manifestOf({ id, d, atoms, center, settings }: Model): DictionaryManifest {
  return {
    id,
    kind: "matching_pursuit",
    d,
    m: atoms.length / d,
    encoder: {
      score: "relu",
      reselect: "add",
      center: center !== undefined,
      residualThreshold: 0,
      maxAtoms: null,
      inputNorm: "none",
      ...settings,
    },
    provenance: { data: "a test's" },
  };
}

/** Writes a dictionary folder (DESIGN §4) into a models folder. @returns its path */
export async function writeModel(modelsDir: string, model: Model): Promise<string> {
  const folder = join(modelsDir, model.id);
  const { d, atoms, center } = model;
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, MANIFEST_FILE), manifestText(manifestOf(model)));
  const tensors = {
    atoms: { shape: [atoms.length / d, d], data: atoms },
    ...(center && { center: { shape: [d], data: center } }),
  };
  await writeFile(join(folder, WEIGHTS_FILE), encodeSafetensors(tensors));
  return folder;
}
