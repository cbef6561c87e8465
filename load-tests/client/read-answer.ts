import { unpack } from "msgpackr";
import type { Answer } from "./drive.ts";

/** A row's code as it was answered. */
export interface AnsweredCode {
  readonly indices: ArrayLike<number>;
  readonly values: ArrayLike<number>;
  readonly steps: number;
  readonly relative_error: number;
  /** Baselines do not say. */
  readonly stop?: string;
  /** Where it was asked for. */
  readonly trace?: { readonly indices: number[]; readonly values: number[]; readonly residual_norms: number[] };
}

/** @throws Error of an answer that is not what its content type says */
export function readAnswer({ contentType, body }: Pick<Answer, "contentType" | "body">): readonly AnsweredCode[] {
  const media = contentType.split(";", 1)[0];
  if (media === "application/json") return (JSON.parse(body.toString("latin1")) as { codes: AnsweredCode[] }).codes;
  if (media !== "application/msgpack") throw new Error(`an answer of type ${contentType}`);
  return codesOfColumns(unpack(body) as Columns);
}

/** The columns of a MessagePack answer that are read here. */
interface Columns {
  readonly indptr: Packed;
  readonly indices: Packed;
  readonly values: Packed;
  readonly steps: Packed;
  readonly relative_error: Packed;
  readonly stop: readonly string[];
}

function codesOfColumns(answer: Columns): readonly AnsweredCode[] {
  const indptr = new Uint32Array(aligned(answer.indptr));
  const indices = new Uint32Array(aligned(answer.indices));
  const values = new Float32Array(aligned(answer.values));
  const steps = new Uint32Array(aligned(answer.steps));
  const errors = new Float32Array(aligned(answer.relative_error));
  return answer.stop.map((stop, i) => ({
    indices: indices.subarray(indptr[i], indptr[i + 1]),
    values: values.subarray(indptr[i], indptr[i + 1]),
    steps: steps[i]!,
    relative_error: errors[i]!,
    stop,
  }));
}

interface Packed {
  readonly data: Uint8Array;
  readonly dtype: string;
}

/** Numbers of four bytes on a boundary of four. */
function aligned({ data, dtype }: Packed): ArrayBuffer {
  if (dtype !== "uint32" && dtype !== "float32") throw new Error(`numbers of dtype ${dtype}`);
  return new Uint8Array(data).buffer;
}
