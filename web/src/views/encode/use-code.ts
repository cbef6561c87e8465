import { useMemo } from "preact/hooks";
import { type Answer, useAnswer } from "../../api/answer.ts";
import { ask, dictionaryPath } from "../../api/client.ts";
import type { Dictionary, EncodeAnswer } from "../../api/types.ts";
import { shortNumbers } from "../../rows/row-text.ts";
import { type Trace, traceOf } from "./trace.ts";
import type { ChosenRow } from "./use-row.ts";

/** One way to encode: a dictionary and one of its encoders. */
export interface Encoding {
  readonly dictionary: Dictionary;
  readonly encoder: string;
}

/** Selections that one request asks for; the slider moves through them. */
export const DEPTHS = [32, 64, 128, 256] as const;

export interface Coded {
  readonly trace: Trace;
  readonly warning?: string;
}

export const encodeFields = ({ dictionary, encoder }: Encoding, depth: number): Readonly<Record<string, unknown>> => ({
  budget: { max_atoms: Math.min(depth, dictionary.max_atoms ?? depth, dictionary.m ?? depth) },
  ...(encoder !== "own" && { encoder }),
  include: dictionary.labels ? ["trace", "labels"] : ["trace"],
});

/** The code of a row, with its trace. One request for each row, dictionary, encoder and depth. */
export function useCode(encoding: Encoding | null, row: ChosenRow | null, depth: number): Answer<Coded> {
  const fits = encoding !== null && row !== null && row.row.length === encoding.dictionary.d_in;
  const key = fits
    ? `encode ${encoding.dictionary.id} ${encoding.dictionary.sha256} ${encoding.encoder} ${depth} ${row.file?.name ?? ""} ${row.x}`
    : null;
  const answer = useAnswer(key, (signal) =>
    ask<EncodeAnswer>(dictionaryPath(encoding!.dictionary.id, "/encode"), {
      method: "POST",
      body: { inputs: [shortNumbers(row!.row)], ...encodeFields(encoding!, depth) },
      signal,
    }),
  );
  const { data } = answer;
  const coded = useMemo(
    () => data && { trace: traceOf(data.codes[0]!), ...(data.warning !== undefined && { warning: data.warning }) },
    [data],
  );
  return { ...answer, data: coded };
}
