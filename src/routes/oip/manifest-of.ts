import type { DictionaryManifest } from "../../engine/core/dictionary.ts";
import type { DictionaryStatus } from "../../engine/engine.ts";
import { EngineError } from "../../engine/core/errors.ts";

/** Returns a dictionary's manifest. @throws EngineError when its folder was not, or could not be, read */
export function manifestOf({ id, manifest, faults, state }: DictionaryStatus): DictionaryManifest {
  if (manifest !== undefined) return manifest;
  if (state === "failed") {
    const message = `Dictionary ${id} could not be loaded: ${faults.join(" ")}`;
    throw new EngineError("PURSUIT_DICTIONARY_FAILED", message);
  }
  throw new EngineError("PURSUIT_NOT_READY", `Dictionary ${id} is still being loaded.`, { retryAfter: 1 });
}
