import type { EncodeBatch } from "../../core/encode-batch.ts";
import type { CodesToDecode, Correlations, SparseCodes } from "../../core/sparse-codes.ts";
import type { CoherenceFigures, Neighbour, RuntimeChoice } from "../../core/dictionary.ts";
import type { GramProgress } from "../protocol/messages.ts";
import type { CorrelatedRows } from "../sessions/correlations.ts";
import type { SteerBatch, SteeredBatch } from "../../core/steer-batch.ts";

/** Progress of work in blocks. */
export type Progress = Pick<GramProgress, "more" | "note">;

/**
 * Encodes batches. Calls block the calling thread for their whole time (onnxruntime-node's run is synchronous inside), so
 * a session lives in a worker thread of its runtime process. One call at a time.
 */
export interface BatchSession {
  readonly chosen: RuntimeChoice;
  readonly coherence: CoherenceFigures;
  encode(batch: EncodeBatch): Promise<SparseCodes>;
  /** Builds the next block of the Gram matrix (~10 ms). */
  buildGramStep?(): Promise<Progress>;
  /** Frees the runtime's memory; the session answers nothing afterwards. */
  release(): Promise<void>;
}

/** One dictionary in one runtime session. */
export interface EncoderSession extends BatchSession {
  /** Codes → rows [count · d], the centre added back and an input norm undone. */
  decode(codes: CodesToDecode): Promise<Float32Array>;
  /** The largest of D·(x − b) of rows [count · d]: `most` a row. */
  correlations(rows: CorrelatedRows): Promise<Correlations>;
  /** Rows → rows: adds a sparse delta of their codes, then applies directions in order. */
  steer(batch: SteerBatch): SteeredBatch;
  /** Atoms by index → [indices.length · d], copied. */
  atoms(indices: Uint32Array): Float32Array;
  /** The `count` atoms nearest to atom `index` by cosine, without itself, nearest first, ties by index. */
  neighbours(index: number, count: number): Promise<Neighbour[]>;
  /** The `count` atoms of largest cosine with row − centre, nearest first, ties by index. @param row [d_out] */
  nearest(row: Float32Array, count: number): Neighbour[];
  /** ||D_j|| of every atom [m], copied. */
  atomNorms(): Float64Array;
}
