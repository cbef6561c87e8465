import { it } from "vitest";

/** Whether this is `npm run test:full`. `npm test` takes samples of long tests. */
export const FULL = process.env["TEST_FULL"] === "1";

/** A test for the full run only; a quick one covers the same in short. */
// oxlint-disable-next-line vitest/valid-title, vitest/no-disabled-tests -- it is no test itself
export const itInFull = it.runIf(FULL);

/** Returns `most` items spread evenly, first and last included; all of them in a full run. */
export function sample<T>(items: readonly T[], most: number): readonly T[] {
  if (FULL || items.length <= most) return items;
  const step = (items.length - 1) / Math.max(1, most - 1);
  return Array.from({ length: most }, (_, i) => items[Math.round(i * step)]!);
}
