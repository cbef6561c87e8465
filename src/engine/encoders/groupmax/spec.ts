import { onePassSpec, type OnePassSettings } from "../one-pass.ts";

export interface GroupmaxSettings extends OnePassSettings {
  /** Number of groups, and so of active atoms at most. */
  readonly k: number;
}

/** a = the largest h of each of k groups of m / k neighbouring atoms, rectified; the others 0 (sparsify). */
export const groupmaxSpec = onePassSpec<GroupmaxSettings>({
  kind: "groupmax",
  schema: (type) => ({ k: type.Integer({ minimum: 1 }) }),
  faults: ({ k }, { m }) =>
    m % k === 0 ? [] : [`encoder.k is ${k}; it must divide the ${m} atoms into groups of equal size.`],
});
