import type { Edit } from "../../core/edits.ts";

/** [count · e] 1 where edit e applies to the row: its own rows, else the request's, else all. */
export function rowMask(edits: readonly Edit[], only: readonly number[] | undefined, count: number): Uint8Array {
  const e = edits.length;
  const applies = new Uint8Array(count * e);
  for (const [k, edit] of edits.entries()) {
    const rows = edit.rows ?? only;
    if (rows === undefined) for (let i = 0; i < count; i++) applies[i * e + k] = 1;
    else for (const row of rows) applies[row * e + k] = 1;
  }
  return applies;
}
