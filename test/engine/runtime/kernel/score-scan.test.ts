import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Candidates, PlainScan, type Screen } from "../../../../src/engine/core/candidate-atoms.ts";
import { createScan } from "../../../../src/engine/runtime/kernel/score-scan.ts";

/** Few distinct values, so that ties and scores at their limits are common. */
const number = fc.oneof(
  { weight: 10, arbitrary: fc.integer({ min: -3, max: 3 }) },
  { weight: 1, arbitrary: fc.constantFrom(-0, Infinity, -Infinity, NaN, 3e38, 1e-45) },
);

/** Widths around whole blocks of 16. */
const screens = fc.integer({ min: 1, max: 70 }).chain((m) => {
  const row = fc.array(number, { minLength: m, maxLength: m });
  const screen: fc.Arbitrary<Screen> = fc.oneof(
    row.map((limits): Screen => ({ by: "limit", limits: Float32Array.from(limits) })),
    fc.record({
      by: fc.constant("rank" as const),
      k: fc.integer({ min: 1, max: m }),
      magnitude: fc.boolean(),
      factors: fc.option(
        fc
          .array(fc.double({ min: 0, max: 3, noNaN: true }), { minLength: m, maxLength: m })
          .map((f) => Float64Array.from(f)),
      ),
    }),
    fc.integer({ min: 1, max: m }).map((size): Screen => ({ by: "group", size })),
  );
  return fc.record({
    m: fc.constant(m),
    screen,
    rows: fc.array(row, { minLength: 1, maxLength: 3 }),
    group: fc.nat(m),
    bias: fc.option(row.map((values) => Float32Array.from(values))),
  });
});

const listOf = ({ atoms, scores }: Candidates): [number, number][] => Array.from(atoms, (j, k) => [j, scores[k]!]);

describe("the scan kernel", () => {
  it("finds the candidates that plain loops find, and their scores", () => {
    fc.assert(
      fc.property(screens, ({ m, screen, rows, group, bias }) => {
        const kernel = createScan(screen, m, rows.length * m, bias ?? undefined);
        const plain = new PlainScan(screen, m, bias ?? undefined);
        const products = kernel.room(rows.length * m)!;
        products.set(rows.flat());
        for (const i of rows.keys()) {
          const row = products.subarray(i * m, i * m + (group || m));
          const found = listOf(kernel.candidates(row));
          expect(found).toEqual(listOf(plain.candidates(row.slice())));
          for (const [j, h] of found) expect(h).toEqual(Math.fround(row[j]! + (bias?.[j] ?? 0)));
        }
      }),
      { seed: 1, numRuns: 1500 },
    );
  });

  it("keeps k of many rising, falling and equal keys", () => {
    const m = 5000;
    const screen: Screen = { by: "rank", k: 100, magnitude: false, factors: null };
    const kernel = createScan(screen, m, m);
    const h = kernel.room(m)!;
    for (const [key, first] of [
      [(j: number) => j, m - 100],
      [(j: number) => -j, 0],
      [() => 1, 0],
    ] as const) {
      for (let j = 0; j < m; j++) h[j] = key(j);
      expect([...kernel.candidates(h).atoms]).toEqual(Array.from({ length: 100 }, (_, i) => first + i));
    }
  });
});
