import { type DictionaryWeights, isOrthogonal, isPursuit, type PursuitWeights } from "../../core/dictionary-weights.ts";
import type { BatchSession, EncoderSession } from "../process/encoder-session.ts";
import type { PursuitPath } from "../../core/dictionary.ts";
import { DecoderPursuitSession } from "./decoder-pursuit-session.ts";
import { FusedSession } from "./fused-session.ts";
import type { OnnxSessionOptions } from "../onnx/onnx-session.ts";
import { PursuitSession } from "./pursuit-session.ts";
import type { OnePassWeights } from "../../encoders/one-pass.ts";
import { OnePassSession } from "./one-pass-session.ts";

/** Steps in one turn of the loop; 1, 4 and 8 give the same codes. */
const UNROLL = 4;

export interface SessionOptions extends OnnxSessionOptions {
  /** Form of the pursuit graph; one-pass encoders have one form only. */
  readonly path: PursuitPath;
  readonly unroll?: number;
  /** Whether the session may free weights that it holds elsewhere: nobody else will read them. */
  readonly ownsWeights?: boolean;
}

/** A session for a dictionary, by its encoder's kind. @throws Error when the runtime refuses. */
export function createEncoderSession(weights: DictionaryWeights, options: SessionOptions): Promise<EncoderSession> {
  if (isPursuit(weights)) return createPursuitSession(weights, options);
  if (isOrthogonal(weights)) {
    return FusedSession.create(weights, { ...options, runtime: "cpu", gram: usesGram(options.path) });
  }
  return OnePassSession.create(weights as OnePassWeights, options);
}

/** A session that encodes by pursuit over the decoder of a dictionary of any kind. @throws Error when the runtime refuses. */
export const createDecoderPursuit = (weights: DictionaryWeights, options: SessionOptions): Promise<BatchSession> =>
  DecoderPursuitSession.create(weights, { ...options, runtime: "cpu", gram: usesGram(options.path) });

/** Orthogonal pursuit, and pursuit over a decoder, have their loop in the kernel only. */
const usesGram = (path: PursuitPath): boolean => path === "fused" || path === "gram";

function createPursuitSession(weights: PursuitWeights, options: SessionOptions): Promise<EncoderSession> {
  const { path } = options;
  if (path === "gram" || path === "residual")
    return PursuitSession.create(weights, { unroll: UNROLL, ...options, path });
  return FusedSession.create(weights, { ...options, gram: path === "fused" });
}
