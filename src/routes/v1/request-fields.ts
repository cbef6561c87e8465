import type { Budget, RequestBudget } from "../../engine/core/budget.ts";
import type { BudgetWire, EncodeFields } from "./schemas.ts";
import type { DictionaryStatus, EncodeAnswer, EncodeRequest, Engine, RequestContext } from "../../engine/engine.ts";
import { WireError } from "../../codecs/codec-error.ts";
import type { CodeLabels, Format } from "../../codecs/write-codes.ts";
import type { DictionaryManifest } from "../../engine/core/dictionary.ts";
import { EngineError } from "../../engine/core/errors.ts";

/** Converts a budget from the API's names to the engine's. */
export function budgetOf({
  max_atoms: maxAtoms,
  tolerance,
  residual_norm: residualNorm,
  min_gain: minGain,
  group,
}: BudgetWire): Budget {
  return {
    ...(maxAtoms !== undefined && { maxAtoms }),
    ...(tolerance !== undefined && { tolerance }),
    ...(residualNorm !== undefined && { residualNorm }),
    ...(minGain !== undefined && { minGain }),
    ...(group !== undefined && { group }),
  };
}

/** Budgets of a request; null if it has none. */
export function requestBudget(budget: BudgetWire | BudgetWire[] | undefined): RequestBudget {
  if (budget === undefined) return null;
  return Array.isArray(budget) ? budget.map(budgetOf) : budgetOf(budget);
}

/**
 * Checks before the encode that labels can be answered.
 * @throws EngineError PURSUIT_NO_LABELS; WireError PURSUIT_INVALID_FIELD
 */
export function checkLabels(engine: Engine, id: string, labelled: boolean, format: Format): void {
  if (!labelled) engine.labels(id, new Uint32Array());
  if (format !== "dense") return;
  throw new WireError(
    "PURSUIT_INVALID_FIELD",
    'include: labels stand beside indices, which format "dense" has none of.',
  );
}

/**
 * How many correlations of each row are wanted; undefined where none are.
 * @throws WireError PURSUIT_INVALID_FIELD
 */
export function correlationsOf(
  { include = [], correlations }: Pick<EncodeFields, "include" | "correlations">,
  manifest: DictionaryManifest | undefined,
): number | undefined {
  if (include.includes("correlations") !== (correlations !== undefined)) {
    throw new WireError(
      "PURSUIT_INVALID_FIELD",
      correlations === undefined
        ? 'correlations is missing: include names them, so say how many of each row you want, such as "correlations": 256.'
        : 'correlations is given, but include does not name them; add "include": ["correlations"].',
    );
  }
  if (correlations !== undefined && manifest !== undefined && correlations > manifest.m) {
    throw new WireError(
      "PURSUIT_INVALID_FIELD",
      `correlations is ${correlations}; this dictionary has ${manifest.m} atoms, so ask for 1 to ${manifest.m}.`,
    );
  }
  return correlations;
}

/**
 * Labels, unless the dictionary was replaced since encoding.
 * @throws EngineError PURSUIT_BEING_REPLACED
 */
export function labelsOf(engine: Engine, id: string, sha256: string, indices: Uint32Array): CodeLabels {
  if (engine.status(id).sha256 !== sha256) throw replaced(id);
  return engine.labels(id, indices);
}

/**
 * Encodes rows that were read for one version of a dictionary.
 * @throws EngineError PURSUIT_BEING_REPLACED when another version of another width is there by now: the fault is not
 *   the rows'
 */
export async function encodeAsRead(
  engine: Engine,
  { id, sha256 }: Pick<DictionaryStatus, "id" | "sha256">,
  request: EncodeRequest,
  context: RequestContext,
): Promise<EncodeAnswer> {
  try {
    return await engine.encode(id, request, context);
  } catch (error) {
    const isWidth = error instanceof EngineError && error.code === "PURSUIT_WRONG_WIDTH";
    throw isWidth && engine.status(id).sha256 !== sha256 ? replaced(id) : error;
  }
}

export const replaced = (id: string): EngineError =>
  new EngineError(
    "PURSUIT_BEING_REPLACED",
    `Dictionary ${id} was replaced meanwhile by a version with other weights or settings. Send what has no answer again.`,
    { retryAfter: 1 },
  );
