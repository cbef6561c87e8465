import type { Edit } from "../../core/edits.ts";
import { invalidEdit } from "../../core/read-edits.ts";

/**
 * Edits against the dictionary that they are for.
 * @throws EngineError PURSUIT_INVALID_EDIT naming the edit's index.
 */
export function checkEdits(edits: readonly Edit[], { d, m }: { readonly d: number; readonly m: number }): void {
  for (const [i, edit] of edits.entries()) {
    const { feature } = edit;
    if (feature !== undefined && feature >= m) {
      throw invalidEdit(`edits[${i}].feature is ${feature}; the dictionary has features 0 to ${m - 1}.`);
    }
    if ("vector" in edit && edit.vector !== undefined && edit.vector.length !== d) {
      throw invalidEdit(`edits[${i}].vector holds ${edit.vector.length} numbers; rows of this dictionary hold ${d}.`);
    }
  }
}

/** @throws EngineError PURSUIT_INVALID_EDIT when rows are named that the request does not hold. */
export function checkMasks(edits: readonly Edit[], only: readonly number[] | undefined, count: number): void {
  const check = (rows: readonly number[] | undefined, at: string): void => {
    const beyond = rows?.find((row) => row >= count);
    if (beyond !== undefined) throw invalidEdit(`${at} names row ${beyond}; the request holds rows 0 to ${count - 1}.`);
  };
  check(only, "rows");
  for (const [i, { rows }] of edits.entries()) check(rows, `edits[${i}].rows`);
}
