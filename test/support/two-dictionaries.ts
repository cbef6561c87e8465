import { writeModelFolder } from "./model-folder.ts";
import { normals, randomAtoms } from "./seeded.ts";
import { temporaryFolder } from "./temporary-folder.ts";

/** Row width of both. */
export const D = 64;

/** Creates a models folder with the small dictionaries "one" and "two", of 512 and 256 atoms. */
export function twoDictionaries(): string {
  const models = temporaryFolder();
  writeModelFolder(models, "one", { atoms: randomAtoms(512, D, 1), d: D });
  writeModelFolder(models, "two", { atoms: randomAtoms(256, D, 2), d: D });
  return models;
}

/** An encode request of one row for either of them. */
export const requestOf = (seed: number): object => ({ inputs: [[...normals(D, seed)]], budget: { max_atoms: 32 } });
