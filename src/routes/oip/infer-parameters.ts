import type { Budget } from "../../engine/core/budget.ts";
import type { RequestEncoder } from "../../engine/core/dictionary.ts";
import { readEncoder } from "../../codecs/read-encoder.ts";
import { describe, invalid, named } from "../../codecs/codec-error.ts";

type Mutable<T> = { -readonly [P in keyof T]: T[P] };

/** Parameters that are budgets. */
const BUDGETS = {
  max_atoms: "maxAtoms",
  tolerance: "tolerance",
  residual_norm: "residualNorm",
  min_gain: "minGain",
  group: "group",
} as const;

/** Parameters of other servers that ask for nothing that this one does not do anyway. */
const HARMLESS = new Set(["priority", "triton_enable_empty_final_response"]);

/** What the `parameters` of an inference request say. */
export interface InferParameters {
  /** null where no parameter is one of a budget. */
  readonly budget: Budget | null;
  readonly timeoutMs: number | null;
  readonly binary: boolean;
  readonly degrade: boolean;
  readonly encoder: RequestEncoder | null;
}

/** @throws WireError PURSUIT_INVALID_FIELD */
export function readParameters(parameters: unknown): InferParameters {
  if (parameters === undefined || parameters === null) {
    return { budget: null, timeoutMs: null, binary: false, degrade: false, encoder: null };
  }
  if (typeof parameters !== "object" || Array.isArray(parameters)) {
    throw invalid(`parameters must be an object; it is ${describe(parameters)}.`);
  }
  const budget: Mutable<Budget> = {};
  let timeoutMs: number | null = null;
  let binary = false;
  let degrade = false;
  let encoder: RequestEncoder | null = null;
  for (const [name, value] of Object.entries(parameters)) {
    if (Object.hasOwn(BUDGETS, name)) {
      if (typeof value !== "number") throw invalid(`parameters.${name} must be a number; it is ${describe(value)}.`);
      budget[BUDGETS[name as keyof typeof BUDGETS]] = value;
    } else if (name === "timeout") {
      if (typeof value !== "number" || !(value >= 0)) {
        throw invalid(`parameters.timeout must be microseconds, 0 or more; it is ${describe(value)}.`);
      }
      // 0 is Triton's word for none.
      timeoutMs = value === 0 ? null : value / 1000;
    } else if (name === "binary_data_output") {
      binary = readBoolean(value, "parameters.binary_data_output");
    } else if (name === "on_overload") {
      if (value !== "reject" && value !== "degrade") {
        throw invalid(`parameters.on_overload must be reject or degrade; it is ${describe(value)}.`);
      }
      degrade = value === "degrade";
    } else if (name === "encoder") {
      encoder = readEncoder(value, "parameters.encoder") ?? null;
    } else if (!HARMLESS.has(name)) {
      const there = [...Object.keys(BUDGETS), "encoder", "timeout", "on_overload", "binary_data_output"].join(", ");
      throw invalid(`There is no parameter ${named(name)}; there are ${there}.`);
    }
  }
  return { budget: Object.keys(budget).length === 0 ? null : budget, timeoutMs, binary, degrade, encoder };
}

/** @throws WireError PURSUIT_INVALID_FIELD */
export function readBoolean(value: unknown, at: string): boolean {
  if (typeof value === "boolean") return value;
  throw invalid(`${at} must be true or false; it is ${describe(value)}.`);
}
