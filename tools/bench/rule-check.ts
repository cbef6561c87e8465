import type { PursuitPath } from "../../src/engine/core/dictionary.ts";

/** Paths are as good as equally fast within this share: what two runs of one path are apart. */
const EQUAL = 0.05;

/** Whether the path that the rule takes (choose-path.ts) was the fastest of those measured, in one line. */
export function ruleVerdict(chosen: PursuitPath, usPerRow: ReadonlyMap<PursuitPath, number>): string {
  const ours = usPerRow.get(chosen);
  if (ours === undefined) return `the rule takes ${chosen}, which was not measured`;
  const [fastest, us] = [...usPerRow].reduce((best, one) => (one[1] < best[1] ? one : best));
  if (ours <= us * (1 + EQUAL)) return `the rule takes ${chosen}: agrees with the measurement`;
  return `the rule takes ${chosen}: DISAGREES, ${fastest} took ${(us / ours).toFixed(2)} of its time`;
}
