import { createContext } from "preact";
import { useContext } from "preact/hooks";
import type { Answer } from "../api/answer.ts";
import type { Dictionary } from "../api/types.ts";
import { place } from "./location.ts";

/** The server's dictionaries, loaded once for all views. */
export const Dictionaries = createContext<Answer<readonly Dictionary[]>>({
  data: undefined,
  fault: undefined,
  waiting: true,
  retry: () => {},
});

export const useDictionaries = (): Answer<readonly Dictionary[]> => useContext(Dictionaries);

/** Whether it can answer: failed and unloaded ones cannot. */
export const answers = ({ state, m }: Dictionary): boolean =>
  m !== undefined && state !== "failed" && state !== "unloaded";

/** The dictionary that the address names in `param`, else the first that can answer. */
export function useDictionary(param = "d"): Dictionary | undefined {
  const { data = [] } = useDictionaries();
  const id = place.value.params.get(param);
  return id === null ? (data.find(answers) ?? data[0]) : data.find((dictionary) => dictionary.id === id);
}

/** Why a dictionary cannot answer, in one sentence; null: it can. */
export function silence({ id, state, faults, m }: Dictionary): string | null {
  if (state === "failed") return `${id} could not be loaded. ${faults.join(" ")}`;
  if (state === "unloaded") return `${id} has been unloaded. Load it again by POST /v2/repository/models/${id}/load.`;
  return m === undefined ? `${id} cannot be read.` : null;
}

/** What its rows are, in the fewest words. */
export const modelOf = ({ source, provenance }: Dictionary): string | null => {
  const model = source?.model ?? provenance?.["model"];
  return typeof model === "string" ? model : null;
};

export const kindName = (kind: string): string => KINDS[kind] ?? kind;

const KINDS: Readonly<Record<string, string>> = {
  matching_pursuit: "matching pursuit",
  orthogonal_matching_pursuit: "orthogonal pursuit",
  orthogonal: "orthogonal pursuit",
  topk: "TopK",
  abs_topk: "AbsTopK",
  relu: "ReLU",
  jumprelu: "JumpReLU",
  gated: "gated",
  groupmax: "GroupMax",
};
