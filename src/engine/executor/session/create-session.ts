import type { RuntimeChoice } from "../../engine.ts";
import type { DictionaryWeights } from "../../dictionary-weights.ts";
import type { EncoderSession } from "../encoder-session.ts";
import { PursuitSession } from "./pursuit-session.ts";

/** Steps in one turn of the loop; 1, 4 and 8 give the same codes, see tools/bench/graph-forms.ts for their speed. */
const UNROLL = 4;

export interface SessionOptions extends RuntimeChoice {
  /** Threads of the session's own pool. */
  readonly threads: number;
  readonly unroll?: number;
}

/** A session for a dictionary, by its encoder's kind. @throws Error when the runtime refuses. */
export function createEncoderSession(weights: DictionaryWeights, options: SessionOptions): Promise<EncoderSession> {
  return PursuitSession.create(weights, { unroll: UNROLL, ...options });
}
