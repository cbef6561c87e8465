import type { Query } from "./body-form.ts";
import { fieldsExtent } from "./extent.ts";
import { parseJson } from "./parse-json.ts";
import { invalid, named } from "./posted-rows.ts";

const BUDGET_PARTS = new Set(["max_atoms", "tolerance", "residual_norm", "min_gain", "group"]);
const NUMBERS = new Set([...BUDGET_PARTS, "timeout_ms"]);

/** Its length is that of a header, and bounded. */
const QUERY = fieldsExtent();

/** As JSON writes numbers. What does not match stays text, and the schema says what it should have been. */
const NUMBER = /^-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?$/;

/**
 * The fields of a body whose bytes leave no room for them, from the query:
 * `max_atoms=16&tolerance=0.1&format=csr&include=trace,reconstruction&timeout_ms=1000`. The parts of a budget stand for
 * themselves; a value that begins with `[` or `{` is JSON, so `budget=[{"max_atoms":4},…]` gives one per row.
 * Checked by the same schema as any body's.
 * @throws WireError PURSUIT_INVALID_FIELD, and what {@link parseJson} throws
 */
export function fieldsOfQuery(query: Query): Record<string, unknown> {
  const fields: Record<string, unknown> = {};
  const budget: Record<string, unknown> = {};
  for (const [name, text] of Object.entries(query)) {
    if (typeof text !== "string") throw invalid(`The query names ${named(name)} more than once.`);
    const value = valueOf(name, text);
    if (BUDGET_PARTS.has(name)) budget[name] = value;
    else fields[name] = value;
  }
  if (Object.keys(budget).length === 0) return fields;
  if ("budget" in fields) {
    throw invalid(`The query holds budget and also ${Object.keys(budget).join(", ")}; give one or the other.`);
  }
  return { ...fields, budget };
}

function valueOf(name: string, text: string): unknown {
  if (name === "include") return text === "" ? [] : text.split(",");
  if (NUMBERS.has(name)) return NUMBER.test(text) ? Number(text) : text;
  if (text.startsWith("[") || text.startsWith("{")) return parseJson(Buffer.from(text), QUERY, `${name} in the query`);
  return text;
}
