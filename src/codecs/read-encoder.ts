import {
  ORTHOGONAL_SCORES,
  REQUEST_ENCODERS,
  type RequestEncoder,
  RESELECTS,
  SCORES,
} from "../engine/core/dictionary.ts";
import { isObject } from "../engine/core/json-object.ts";
import { describe, invalid, named } from "./codec-error.ts";

const NAMES = ["own", ...REQUEST_ENCODERS];
const SETTINGS = new Set(["kind", "score", "reselect"]);

/**
 * Reads the field `encoder`: a name, or `{"kind", "score", "reselect"}`. Text that starts with `{` is that object as
 * JSON, for queries, parameters and flags.
 * @param at name of the field in messages
 * @returns undefined for the dictionary's own encoder
 * @throws WireError PURSUIT_INVALID_FIELD
 */
export function readEncoder(given: unknown, at = "encoder"): RequestEncoder | undefined {
  const value = typeof given === "string" && given.startsWith("{") ? parsed(given, at) : given;
  if (value === undefined || value === "own") return undefined;
  const { kind, score, reselect, ...rest } = isObject(value) ? value : { kind: value };
  const [unknown] = Object.keys(rest);
  if (unknown !== undefined) {
    throw invalid(`${at} has no field ${named(unknown)}; it takes ${[...SETTINGS].join(", ")}.`);
  }
  const where = isObject(value) ? `${at}.kind` : at;
  if (kind === "matching_pursuit") {
    return {
      kind,
      ...(score !== undefined && { score: oneOf(SCORES, score, `${at}.score`) }),
      ...(reselect !== undefined && { reselect: oneOf(RESELECTS, reselect, `${at}.reselect`) }),
    };
  }
  if (kind !== "orthogonal") {
    const names = isObject(value) ? REQUEST_ENCODERS : NAMES;
    throw invalid(
      `${where} must be ${names.join(", ")}${isObject(value) ? "" : " or an object"}; it is ${describe(kind)}.`,
    );
  }
  // It selects an atom at most once, so nothing else is allowed.
  if (reselect !== undefined) oneOf(["forbid"], reselect, `${at}.reselect of orthogonal`);
  return { kind, ...(score !== undefined && { score: oneOf(ORTHOGONAL_SCORES, score, `${at}.score of orthogonal`) }) };
}

function oneOf<T extends string>(values: readonly T[], given: unknown, at: string): T {
  const found = values.find((value) => value === given);
  if (found !== undefined) return found;
  throw invalid(`${at} must be ${values.join(" or ")}; it is ${describe(given)}.`);
}

function parsed(text: string, at: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw invalid(`${at} begins with { and is not valid JSON.`);
  }
}
