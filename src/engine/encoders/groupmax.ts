import { onePassSpec, type OnePassSettings } from "./one-pass.ts";
import { selectionMargins } from "./reference.ts";

interface GroupmaxSettings extends OnePassSettings {
  /** Number of groups, and so of active atoms at most. */
  readonly k: number;
}

/**
 * a = the largest h of each of k groups of m / k neighbouring atoms, rectified; the others 0 (sparsify).
 * Undecided against the best other score of the group, and at 0.
 */
export const groupmaxSpec = onePassSpec<GroupmaxSettings>({
  kind: "groupmax",
  schema: (type) => ({ k: type.Integer({ minimum: 1 }) }),
  faults: ({ k }, { m }) =>
    m % k === 0 ? [] : [`encoder.k is ${k}; it must divide the ${m} atoms into groups of equal size.`],
  activation: ({ m, settings }) => ({
    screen: { by: "group", size: m / settings.k },
    value: (h) => (h > 0 ? h : 0),
  }),
  reference: ({ h, weights: { m, settings } }) => {
    const size = m / settings.k;
    const values = new Float64Array(m);
    const margins = new Float64Array(m);
    for (let from = 0; from < m; from += size) {
      const group = h.subarray(from, from + size);
      const limits = selectionMargins(group, 1);
      for (const [i, value] of group.entries()) {
        if (limits.selected[i]) values[from + i] = Math.max(value, 0);
        margins[from + i] = Math.min(limits.margins[i]!, Math.abs(value));
      }
    }
    return { values, margins };
  },
});
