import type { Engine } from "../../engine/engine.ts";
import { replaced } from "./encode-as-read.ts";
import { WireError } from "../../codecs/codec-error.ts";
import type { Format } from "../../codecs/write-codes.ts";

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
 * Labels, unless the dictionary was replaced since encoding.
 * @throws EngineError PURSUIT_BEING_REPLACED
 */
export function labelsOf(engine: Engine, id: string, sha256: string, indices: Uint32Array): readonly (string | null)[] {
  if (engine.status(id).sha256 !== sha256) throw replaced(id);
  return engine.labels(id, indices);
}
