import type { ImportFlags } from "../../src/engine/dictionaries/importing/import-flags.ts";
import { type Draw, drawOf } from "./damage.ts";
import { handMade } from "./hand-made.ts";
import type { PublishedFolder } from "./published-folders.ts";
import { damagedFolder } from "./published-damage.ts";

/** A folder of files, damaged somewhere, and how it is read. */
export interface FileCase {
  /** What it was before the damage: a layout, or `dictionary`, which is loaded as the server does. */
  readonly kind: string;
  /** What was done to it. */
  readonly damage: string;
  /** Folders around the files, since a layout may be told by them. */
  readonly path: string;
  readonly files: Readonly<Record<string, Uint8Array>>;
  /** Other files that must be read as the same dictionary, where both are read. */
  readonly twin?: Readonly<Record<string, Uint8Array>>;
  /** The file that is imported by itself; absent: the folder is. */
  readonly file?: string;
  readonly flags: ImportFlags;
  readonly damagedFile: string;
  /** The tensor that was damaged. */
  readonly tensor?: string;
  /** The fixture that it was. */
  readonly published?: PublishedFolder;
  /** What must come of it; absent: a dictionary or a refusal. */
  readonly expected?: Expectation;
}

export type Expectation =
  /** The dictionary that was there before. */
  | { readonly read: "same" }
  /** A refusal that holds one of these words. */
  | { readonly refused: readonly string[] };

/** Case `index` of a seed: the same whenever it is made. */
export function fileCaseOf(seed: number, index: number): Promise<FileCase> {
  const draw: Draw = drawOf(seed, index);
  return draw.chance(0.35) ? Promise.resolve(handMade(draw)) : damagedFolder(draw);
}
