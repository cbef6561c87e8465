import { randomUUID } from "node:crypto";
import { WireError } from "./codec-error.ts";
import type { Extent } from "./extent.ts";
import { findRow, findRows, type FoundRows } from "./numbers/find-rows.ts";
import { parseJson } from "./parse-json.ts";
import type { RowLimits } from "./posted-rows.ts";

/** Stands for the rows in what is left of a body. No client knows it, so none can have written it. */
const STAND_IN = randomUUID();
const QUOTED = Buffer.from(JSON.stringify(STAND_IN));

/**
 * As {@link parseJson}, but rows of plain numbers at `inputs` come as {@link NumberRows} and not as lists.
 * @throws WireError as {@link parseJson}, and PURSUIT_TOO_MANY_ROWS
 */
export function parseJsonRows(bytes: Uint8Array, extent: Extent, limits: RowLimits): unknown {
  return parseAround(bytes, findRows(bytes, "inputs", limits), "inputs", extent) ?? parseJson(bytes, extent);
}

/**
 * The same of a line, whose row is at `input` or is the line itself.
 * @throws WireError as {@link parseJson}, of the line
 */
export function parseJsonLine(bytes: Uint8Array, extent: Extent): unknown {
  return parseAround(bytes, findRow(bytes, "input"), "input", extent) ?? parseJson(bytes, extent, "The line");
}

/** What is left of a text around its rows, with them in it; null where only the whole of it can be read or judged. */
function parseAround(bytes: Uint8Array, found: FoundRows | null, key: string, extent: Extent): unknown {
  if (found === null) return null;
  const { rows, from, to } = found;
  const rest = parseRest(Buffer.concat([bytes.subarray(0, from), QUOTED, bytes.subarray(to)]), extent);
  if (rest === STAND_IN) return rows;
  const fields = rest as Record<string, unknown> | null;
  // Another key of that name further on would count.
  if (fields?.[key] !== STAND_IN) return null;
  fields[key] = rows;
  return fields;
}

/** Null where it is no JSON: what is wrong, and where, is said of the text as it was sent. */
function parseRest(bytes: Uint8Array, extent: Extent): unknown {
  try {
    return parseJson(bytes, extent);
  } catch (error) {
    if (error instanceof WireError) return null;
    throw error;
  }
}
