import type { DictionaryStatus, EncodeAnswer, EncodeRequest, Engine, RequestContext } from "../../engine/engine.ts";
import { EngineError } from "../../engine/core/errors.ts";

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
