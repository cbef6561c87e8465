import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { encodeSafetensors } from "../../src/engine/dictionaries/formats/safetensors.ts";
import { temporaryFolder } from "./temporary-folder.ts";

/** Shapes by tensor name. */
export type Shapes = Readonly<Record<string, readonly number[]>>;

/** Folders of files to import, each in a place of its own. */
export class ImportFolders {
  readonly root = temporaryFolder();
  #count = 0;

  /** A folder of these files. @returns its path */
  of(files: Readonly<Record<string, string | Uint8Array>>): string {
    const folder = join(this.root, String(this.#count++));
    for (const [name, content] of Object.entries(files)) {
      mkdirSync(join(folder, name, ".."), { recursive: true });
      writeFileSync(join(folder, name), content);
    }
    mkdirSync(folder, { recursive: true });
    return folder;
  }

  /** A SAELens folder. */
  saeLens(config: object, weights: Uint8Array): string {
    return this.of({ "cfg.json": JSON.stringify(config), "sae_weights.safetensors": weights });
  }

  /** Writes a weights file with these tensors. @returns its path */
  weights(shapes: Shapes, values: Readonly<Record<string, readonly number[]>> = {}): string {
    const name = "w.safetensors";
    return join(this.of({ [name]: tensorsOf(shapes, values) }), name);
  }
}

/** A safetensors file: each tensor counts up from a number of its own, so that no two are alike. */
export function tensorsOf(shapes: Shapes, values: Readonly<Record<string, readonly number[]>> = {}): Uint8Array {
  const tensors = Object.entries(shapes).map(([name, shape], i) => {
    const length = shape.reduce((a, b) => a * b, 1);
    const data = values[name] ?? Array.from({ length }, (_, at) => (i + 1) / 8 + at / 64);
    return [name, { shape, data: Float32Array.from(data) }] as const;
  });
  return Buffer.concat(encodeSafetensors(Object.fromEntries(tensors)));
}
