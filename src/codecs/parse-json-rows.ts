import { randomUUID } from "node:crypto";
import { MAX_DEPTH, parseJson } from "./parse-json.ts";
import { WireError } from "./codec-error.ts";
import { findRow, findRows, type FoundRows } from "./numbers/find-rows.ts";

/** Stands for the rows in what is left of a body. No client knows it, so none can have written it. */
const STAND_IN = randomUUID();
const QUOTED = Buffer.from(JSON.stringify(STAND_IN));

/**
 * As {@link parseJson}, but rows of plain numbers at `inputs` come as {@link NumberRows} and not as lists.
 * @throws WireError PURSUIT_TOO_DEEP, PURSUIT_NAN_TOKEN, PURSUIT_MALFORMED_BODY
 */
export function parseJsonRows(bytes: Uint8Array): unknown {
  return parseAround(bytes, findRows(bytes, "inputs"), "inputs") ?? parseJson(bytes);
}

/**
 * The same of a line, whose row is at `input` or is the line itself.
 * @throws WireError as {@link parseJson}, of the line
 */
export function parseJsonLine(bytes: Uint8Array): unknown {
  return parseAround(bytes, findRow(bytes, "input"), "input") ?? parseJson(bytes, MAX_DEPTH, "The line");
}

/** What is left of a text around its rows, with them in it; null where only the whole of it can be read or judged. */
function parseAround(bytes: Uint8Array, found: FoundRows | null, key: string): unknown {
  if (found === null) return null;
  const { rows, from, to } = found;
  const rest = parseRest(Buffer.concat([bytes.subarray(0, from), QUOTED, bytes.subarray(to)]));
  if (rest === STAND_IN) return rows;
  const fields = rest as Record<string, unknown> | null;
  // Another key of that name further on would count.
  if (fields?.[key] !== STAND_IN) return null;
  fields[key] = rows;
  return fields;
}

/** Null where it is no JSON: what is wrong, and where, is said of the text as it was sent. */
function parseRest(bytes: Uint8Array): unknown {
  try {
    return parseJson(bytes);
  } catch (error) {
    if (error instanceof WireError) return null;
    throw error;
  }
}
