import type { Engine } from "../engine/engine.ts";
import { WireError } from "./wire/wire-error.ts";
import type { Format } from "./wire/write-codes.ts";

/**
 * Before anything is encoded: whether labels can be answered.
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
