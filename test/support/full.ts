import { it } from "vitest";

/** Whether this is `npm run test:full`, which leaves nothing out. `npm test` takes samples of what is long. */
export const FULL = process.env["TEST_FULL"] === "1";

/** A test of the full run: it repeats at length what a quick one covers. */
// oxlint-disable-next-line vitest/valid-title, vitest/no-disabled-tests -- it is no test itself
export const itInFull = it.runIf(FULL);

/** Spread evenly over them: `most` of the items, first and last included, or all in a full run. */
export function sample<T>(items: readonly T[], most: number): readonly T[] {
  if (FULL || items.length <= most) return items;
  const step = (items.length - 1) / Math.max(1, most - 1);
  return Array.from({ length: most }, (_, i) => items[Math.round(i * step)]!);
}
