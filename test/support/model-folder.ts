import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { MANIFEST_FILE, manifestText } from "../../src/engine/dictionaries/manifest.ts";
import { WEIGHTS_FILE } from "../../src/engine/dictionaries/weights.ts";
import { encodeSafetensors } from "../../src/engine/dictionaries/formats/safetensors.ts";
import type { DictionaryManifest, Provenance, PursuitSettings } from "../../src/engine/core/dictionary.ts";

export interface SmallModel {
  /** [m, d] */
  readonly atoms: Float32Array;
  readonly d: number;
  readonly center?: Float32Array;
  readonly settings?: Partial<PursuitSettings>;
  readonly provenance?: Provenance;
}

/** Returns a manifest with the simplest settings, except those given. */
export function manifestOf(
  id: string,
  { atoms, d, center, settings, provenance }: SmallModel,
): DictionaryManifest & { readonly kind: "matching_pursuit"; readonly encoder: PursuitSettings } {
  return {
    id,
    kind: "matching_pursuit",
    role: "autoencoder",
    dIn: d,
    dOut: d,
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
    provenance: provenance ?? { data: "made for a test" },
  };
}

/**
 * Writes a dictionary folder (docs/import.md, On disk) into a models folder; its id defaults to its name. @returns its
 * path
 */
export function writeModelFolder(modelsDir: string, name: string, model: SmallModel, id = name): string {
  const { atoms, d, center } = model;
  const folder = join(modelsDir, name);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, MANIFEST_FILE), manifestText(manifestOf(id, model)));
  const tensors = {
    atoms: { shape: [atoms.length / d, d], data: atoms },
    ...(center && { center: { shape: [d], data: center } }),
  };
  writeFileSync(join(folder, WEIGHTS_FILE), Buffer.concat(encodeSafetensors(tensors)));
  return folder;
}
