import { randomUUID } from "node:crypto";
import { parseJson } from "./parse-json.ts";
import { WireError } from "./wire-error.ts";
import { findRows } from "./numbers/find-rows.ts";

const KEY = "inputs";

/** Stands for the rows in what is left of a body. No client knows it, so none can have written it. */
const STAND_IN = randomUUID();
const QUOTED = Buffer.from(JSON.stringify(STAND_IN));

/**
 * As {@link parseJson}, but rows of plain numbers at `inputs` come as {@link NumberRows} and not as lists.
 * @throws WireError PURSUIT_TOO_DEEP, PURSUIT_NAN_TOKEN, PURSUIT_MALFORMED_BODY
 */
export function parseJsonRows(bytes: Uint8Array): unknown {
  const found = findRows(bytes, KEY);
  if (found === null) return parseJson(bytes);
  const { rows, from, to } = found;
  const rest = parseRest(Buffer.concat([bytes.subarray(0, from), QUOTED, bytes.subarray(to)]));
  // Another key of that name further on would count.
  return rest?.[KEY] === STAND_IN ? { ...rest, [KEY]: rows } : parseJson(bytes);
}

/** Null where it is no JSON: what is wrong, and where, is said of the body as it was sent. */
function parseRest(bytes: Uint8Array): Record<string, unknown> | null {
  try {
    return parseJson(bytes) as Record<string, unknown>;
  } catch (error) {
    if (error instanceof WireError) return null;
    throw error;
  }
}
