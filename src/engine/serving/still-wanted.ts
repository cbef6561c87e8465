import type { RequestContext } from "../engine.ts";
import { clientClosed, EngineError } from "../core/errors.ts";

/**
 * For work that waits in no queue which would notice.
 * @param now milliseconds on the engine's clock
 * @param done what was to be done with the rows: decoded, steered
 * @throws EngineError PURSUIT_CLIENT_CLOSED, PURSUIT_TIMEOUT
 */
export function checkStillWanted({ cancellation, deadline }: RequestContext, now: number, done: string): void {
  if (cancellation.cancelled) throw clientClosed();
  if (deadline !== undefined && deadline <= now) {
    throw new EngineError("PURSUIT_TIMEOUT", `timeout_ms passed before the rows were ${done}.`);
  }
}
