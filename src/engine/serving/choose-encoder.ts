import type { Budget } from "../core/budget.ts";
import {
  type DictionaryManifest,
  makesItsRow,
  type OrthogonalSettings,
  orthogonalScore,
  type PursuitChoice,
  type PursuitSettings,
  REQUEST_ENCODERS,
  type RequestEncoder,
} from "../core/dictionary.ts";
import { EngineError } from "../core/errors.ts";
import { specOf } from "../encoders/registry.ts";
import { cappedBudget, type RowBudgetRule } from "./check-encode.ts";

/** The encoder of one request. */
export interface ChosenEncoder {
  /** Absent: the dictionary's own encoder. */
  readonly pursuit?: PursuitChoice;
  /** Whether it runs over the decoder, in a process beside the dictionary's own. */
  readonly overDecoder: boolean;
}

const OWN: ChosenEncoder = { overDecoder: false };

const OWN_NAME = ["own"] as const;
const ALL_NAMES = [...OWN_NAME, ...REQUEST_ENCODERS] as const;

/** Names that `encoder` of a request may take with this dictionary. */
export const encodersOf = (manifest: Pick<DictionaryManifest, "role" | "blocks">): readonly string[] =>
  whyOnlyOwn(manifest) === null ? ALL_NAMES : OWN_NAME;

/** Why no pursuit runs over the decoder; null where one can. */
function whyOnlyOwn({ role, blocks }: Pick<DictionaryManifest, "role" | "blocks">): string | null {
  if (!makesItsRow(role))
    return `is a ${role}. Its atoms make up another activation than the row, so a pursuit of the row has no meaning`;
  if (blocks !== undefined)
    return "has blocks. Each of its atoms reads one layer, and a pursuit would select by all of them";
  return null;
}

/**
 * Resolves what a request names. A dictionary of pursuit runs `orthogonal` itself, by its own score.
 * @param encoder absent: the dictionary's own
 * @throws EngineError PURSUIT_ENCODER_UNAVAILABLE
 */
export function chooseEncoder(manifest: DictionaryManifest, encoder: RequestEncoder | undefined): ChosenEncoder {
  if (encoder === undefined) return OWN;
  const { id, kind, encoder: settings } = manifest;
  const why = whyOnlyOwn(manifest);
  if (why !== null) {
    const message = `encoder: dictionary ${id} ${why}. Leave encoder out, or send "own".`;
    throw new EngineError("PURSUIT_ENCODER_UNAVAILABLE", message);
  }
  if (encoder.kind === "matching_pursuit") {
    const { score = "relu", reselect = "add" } = encoder;
    return { pursuit: { kind: encoder.kind, score, reselect }, overDecoder: true };
  }
  if (specOf({ kind }).family !== "pursuit") {
    return { pursuit: { kind: encoder.kind, score: encoder.score ?? "relu" }, overDecoder: true };
  }
  const own = orthogonalScore((settings as PursuitSettings | OrthogonalSettings).score);
  return { pursuit: { kind: encoder.kind, score: encoder.score ?? own }, overDecoder: false };
}

/**
 * Budgets of a pursuit over the decoder. A row without one gets the default budget, else k atoms; without either it needs
 * one of its own.
 * @param serverCap PURSUIT_MAX_ATOMS
 */
export function decoderBudgetRule(
  { encoder, defaultBudget, groups = [] }: DictionaryManifest,
  serverCap: number,
): RowBudgetRule {
  const { k, maxAtoms } = encoder as { readonly k?: number; readonly maxAtoms?: number | null };
  const atoms = k ?? maxAtoms ?? undefined;
  const fallback: Budget | null = defaultBudget ?? (atoms === undefined ? null : { maxAtoms: atoms });
  return { cap: serverCap, unset: serverCap, groups, fallback: fallback && cappedBudget(fallback, serverCap) };
}
