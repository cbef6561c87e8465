import { EngineError } from "./errors.ts";

/** Edits of rows by their features (docs/steering.md). Their names are the wire's: a set is kept as it came. */

/** Ops that change a coefficient of the row's code. */
export const CODE_OPS = ["add", "set", "scale", "remove", "clamp"] as const;
type CodeOp = (typeof CODE_OPS)[number];

/** Ops that act on the row along a unit direction. */
export const DIRECTION_OPS = ["add_direction", "project_out", "project_cap"] as const;
type DirectionOp = (typeof DIRECTION_OPS)[number];

/** Edits of one request at most, those of a named set included. */
export const MAX_EDITS = 256;

/** Inclusive bounds; at least one is there. */
interface Range {
  readonly min?: number;
  readonly max?: number;
}

/** Changes z_feature; an absent atom is 0. */
export interface CodeEdit extends Range {
  readonly op: CodeOp;
  readonly feature: number;
  /** add, set, scale; clamp: both bounds at once. */
  readonly value?: number;
  /** Skips a row whose coefficient, as the edits before left it, lies outside. */
  readonly when?: Range;
  /** Rows that it applies to, ascending or not; absent: the request's. */
  readonly rows?: readonly number[];
}

/** Acts on the running row y along u = v / ||v||, v being the feature's atom or the vector. */
export interface DirectionEdit extends Range {
  readonly op: DirectionOp;
  readonly feature?: number;
  /** [d]; exactly one of feature and vector is there. */
  readonly vector?: readonly number[];
  /** add_direction: y + strength · u. project_out: y − strength · (y·u) u, 1 if absent. */
  readonly strength?: number;
  /** add_direction: strength is in units of ||x||, the norm of the row as it was posted. */
  readonly relative?: boolean;
  readonly rows?: readonly number[];
}

export type Edit = CodeEdit | DirectionEdit;

export const isCodeEdit = (edit: Edit): edit is CodeEdit => (CODE_OPS as readonly string[]).includes(edit.op);

/** Fields of each op beside `op` and `rows`, and which of them it cannot do without. */
const FIELDS = {
  add: { takes: ["feature", "value", "when"], needs: ["feature", "value"] },
  set: { takes: ["feature", "value", "when"], needs: ["feature", "value"] },
  scale: { takes: ["feature", "value", "when"], needs: ["feature", "value"] },
  remove: { takes: ["feature", "when"], needs: ["feature"] },
  clamp: { takes: ["feature", "value", "min", "max", "when"], needs: ["feature"] },
  add_direction: { takes: ["feature", "vector", "strength", "relative"], needs: ["strength"] },
  project_out: { takes: ["feature", "vector", "strength"], needs: [] },
  project_cap: { takes: ["feature", "vector", "min", "max"], needs: [] },
} as const satisfies Record<Edit["op"], { takes: readonly string[]; needs: readonly string[] }>;

const OPS = [...CODE_OPS, ...DIRECTION_OPS];

/**
 * Edits as they came from outside: each one's op, fields and numbers, without a dictionary. They are given back as they
 * are, so that a set kept on disk reads like the request that made it.
 * @param field what the list is called in a complaint: `edits[3].value must be …`
 * @throws EngineError PURSUIT_INVALID_EDIT naming the edit's index.
 */
export function readEdits(list: unknown, field = "edits"): readonly Edit[] {
  if (!Array.isArray(list)) throw invalidEdit(`${field} must be a list of edits; it is ${shown(list)}.`);
  for (const [i, edit] of list.entries()) {
    if (i === MAX_EDITS) {
      throw invalidEdit(
        `${field}[${i}] is one too many: ${list.length} edits were sent, at most ${MAX_EDITS} are taken.`,
      );
    }
    readEdit(edit, `${field}[${i}]`);
  }
  return list as Edit[];
}

export const invalidEdit = (message: string): EngineError => new EngineError("PURSUIT_INVALID_EDIT", message);

function readEdit(edit: unknown, at: string): void {
  if (!isObject(edit)) throw invalidEdit(`${at} must be an object such as {"feature", "op"}; it is ${shown(edit)}.`);
  const op = OPS.find((one) => one === edit["op"]);
  if (op === undefined) throw invalidEdit(`${at}.op must be one of ${OPS.join(", ")}; it is ${shown(edit["op"])}.`);
  const { takes, needs } = FIELDS[op];
  for (const key of Object.keys(edit)) {
    if (key !== "op" && key !== "rows" && !(takes as readonly string[]).includes(key)) {
      throw invalidEdit(`${at}: ${op} has no field ${shown(key)}; it takes ${takes.join(", ")} and rows.`);
    }
  }
  for (const key of needs) {
    if (edit[key] === undefined) throw invalidEdit(`${at}.${key} is missing; ${op} needs it.`);
  }
  const { feature, rows, when, vector, relative } = edit;
  for (const key of ["value", "min", "max", "strength"]) checkNumber(edit[key], `${at}.${key}`);
  if (feature !== undefined && !isCount(feature)) {
    throw invalidEdit(`${at}.feature must be the number of a feature, 0 or more; it is ${shown(feature)}.`);
  }
  if (relative !== undefined && typeof relative !== "boolean") {
    throw invalidEdit(`${at}.relative must be true or false; it is ${shown(relative)}.`);
  }
  if (rows !== undefined) checkRowNumbers(rows, `${at}.rows`);
  if (when !== undefined) {
    if (!isObject(when) || Object.keys(when).some((key) => key !== "min" && key !== "max")) {
      throw invalidEdit(`${at}.when must be {"min", "max"}, or one of the two; it is ${shown(when)}.`);
    }
    checkNumber(when["min"], `${at}.when.min`);
    checkNumber(when["max"], `${at}.when.max`);
    checkRange(when, `${at}.when`);
  }
  if (op === "project_cap" || (op === "clamp" && edit["value"] === undefined)) checkRange(edit, at);
  else if (op === "clamp" && (edit["min"] !== undefined || edit["max"] !== undefined)) {
    throw invalidEdit(`${at}.value stands for both bounds: give it, or min and max.`);
  }
  if ((DIRECTION_OPS as readonly string[]).includes(op)) {
    if ((feature === undefined) === (vector === undefined)) {
      throw invalidEdit(`${at} must name its direction by a feature or by a vector, and by one of them only.`);
    }
    if (vector !== undefined) checkVector(vector, `${at}.vector`);
  }
}

/** @throws EngineError PURSUIT_INVALID_EDIT unless it is a list of row numbers */
export function checkRowNumbers(rows: unknown, at: string): asserts rows is readonly number[] {
  if (!Array.isArray(rows)) throw invalidEdit(`${at} must be a list of row numbers; it is ${shown(rows)}.`);
  const seen = new Set<unknown>();
  for (const [k, row] of rows.entries()) {
    if (!isCount(row)) throw invalidEdit(`${at}[${k}] must be a row's number, 0 or more; it is ${shown(row)}.`);
    if (seen.has(row)) throw invalidEdit(`${at}[${k}] names row ${row} a second time.`);
    seen.add(row);
  }
}

function checkRange({ min, max }: { readonly min?: unknown; readonly max?: unknown }, at: string): void {
  if (min === undefined && max === undefined) throw invalidEdit(`${at} needs min, max or both.`);
  if (min !== undefined && max !== undefined && (min as number) > (max as number)) {
    throw invalidEdit(`${at}.min is ${min as number}, over its max of ${max as number}.`);
  }
}

function checkNumber(value: unknown, at: string): void {
  if (value !== undefined && !isFloat32(value))
    throw invalidEdit(`${at} must be a finite number that float32 holds; it is ${shown(value)}.`);
}

function checkVector(vector: unknown, at: string): void {
  if (!Array.isArray(vector)) throw invalidEdit(`${at} must be a list of d numbers; it is ${shown(vector)}.`);
  let largest = 0;
  for (const [c, value] of vector.entries()) {
    if (!isFloat32(value)) {
      throw invalidEdit(`${at}[${c}] must be a finite number that float32 holds; it is ${shown(value)}.`);
    }
    largest = Math.max(largest, Math.abs(Math.fround(value)));
  }
  if (largest === 0) throw invalidEdit(`${at} is zero in float32, so it has no direction.`);
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const isCount = (value: unknown): value is number => Number.isInteger(value) && (value as number) >= 0;
const isFloat32 = (value: unknown): value is number => typeof value === "number" && Number.isFinite(Math.fround(value));

/** A client's own value, in quotes and cut: it may be a megabyte. */
function shown(value: unknown): string {
  if (value === undefined) return "missing";
  if (value === null) return "null";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object") return "an object";
  const text = typeof value === "number" ? String(value) : (JSON.stringify(value) ?? typeof value);
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}

/** Bounds with the missing ones infinite. */
export const boundsOf = ({ min = -Infinity, max = Infinity }: Range): readonly [number, number] => [min, max];
