import { describe, expect, it } from "vitest";
import { ClassCounts } from "../../src/bulk/class-counts.ts";
import { FeatureTally, STRATA } from "../../src/bulk/feature-tally.ts";
import { recordsOf } from "../../src/bulk/features-writer.ts";
import { PairCounts } from "../../src/bulk/pair-counts.ts";
import { ReferenceRows } from "../../src/bulk/reference-rows.ts";
import type { SparseCodes } from "../../src/engine/core/sparse-codes.ts";
import { codesOf } from "../support/codes.ts";
import { random as seeded } from "../support/seeded.ts";

const M = 12;
const ROWS = 3000;
const { next: random } = seeded(7);

/** Feature j is active in about one row of j + 1; feature 3 has negative values too; 4 is active with 2 alone. */
const rows: (readonly (readonly [number, number])[])[] = Array.from({ length: ROWS }, () => {
  const active = Array.from({ length: M }, (_, j) => j).filter((j) => j !== 4 && random() < 1 / (j + 1));
  if (active.includes(2) && random() < 0.3) active.push(4);
  return active
    .sort((a, b) => a - b)
    .map((j): [number, number] => [j, Math.fround(Math.exp(2 * random() - 1) * (j === 3 && random() < 0.5 ? -1 : 1))]);
});
const CLASSES = 3;
const classOf = Uint32Array.from(rows, (row) => (row.some(([j]) => j === 5) ? 1 : random() < 0.5 ? 0 : 2));

const coded = (from: number, to: number): SparseCodes =>
  codesOf(
    rows.slice(from, to).map((entries) => ({ entries, residualNorm: 0.5, relativeError: 0.25 })),
    M,
  );

/** The same rows in pieces of that size. */
function gathered(piece: number) {
  const tally = new FeatureTally(M, 6);
  const pairs = new PairCounts(M);
  const classes = new ClassCounts(M, CLASSES);
  const reference = new ReferenceRows(2);
  for (let from = 0; from < ROWS; from += piece) {
    const to = Math.min(ROWS, from + piece);
    const codes = coded(from, to);
    tally.add(codes, from);
    pairs.add(codes);
    classes.add(tally, codes, classOf.subarray(from, to));
    const data = Float32Array.from({ length: 2 * (to - from) }, (_, i) => Math.sin(2 * from + i));
    reference.add({ data, count: to - from, width: 2 }, codes, from);
  }
  return { rows: ROWS, tally, pairs, classes, reference };
}

const all = gathered(500);
const records = recordsOf(all, { examples: 4, sample: 3 });
const valuesOf = (j: number): [number, number][] =>
  rows.flatMap((row, i) => row.flatMap(([own, value]): [number, number][] => (own === j ? [[i, value]] : [])));

describe("the record of a feature", () => {
  const features = Array.from({ length: M }, (_, j) => j);

  it.each(features)("%d counts its rows and holds its largest values", (j) => {
    const { record } = records.get(j)!;
    const values = valuesOf(j);
    expect(record.rows).toBe(values.length);
    const largest = values.toSorted((a, b) => Math.abs(b[1]) - Math.abs(a[1]) || a[0] - b[0]).slice(0, 4);
    const shown = Array.from({ length: record.examples.length / 2 }, (_, i) => record.examples[2 * i]);
    expect(shown).toEqual(largest.map(([row]) => row));
    expect(all.tally.state.max[j]).toBe(largest[0]![1]);
  });

  it.each(features)("%d has quantiles within a bin, and a histogram of all its values", (j) => {
    const { quantiles, counts, edges } = records.get(j)!.record;
    const sorted = valuesOf(j)
      .map(([, value]) => value)
      .toSorted((a, b) => a - b);
    for (const [quantile, value] of Object.entries(quantiles)) {
      const exact = sorted[Math.max(0, Math.ceil(Number(quantile) * sorted.length) - 1)]!;
      expect(Math.abs(value - exact)).toBeLessThanOrEqual(0.13 * Math.abs(exact) + 1e-3);
    }
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(sorted.length);
    expect(edges).toEqual(edges.toSorted((a, b) => a - b));
    for (const [i, count] of counts.entries()) {
      const within = sorted.filter(
        (value) =>
          value >= edges[i]! * (1 - 1e-3 * Math.sign(edges[i]!)) &&
          value <= edges[i + 1]! * (1 + 1e-3 * Math.sign(edges[i + 1]!)),
      );
      expect(within.length).toBeGreaterThanOrEqual(count);
    }
  });

  it("has a sample over the range of its values, without its examples", () => {
    const { sample, examples } = records.get(0)!.record;
    const values = Array.from({ length: sample.length / 2 }, (_, i) => Math.abs(sample[2 * i + 1]!));
    expect(values).toEqual(values.toSorted((a, b) => b - a));
    expect(values).toHaveLength(3);
    expect(sample.filter((_, i) => i % 2 === 0)).not.toContain(examples[0]);
  });

  it("is active with those that it shares rows with more than chance would", () => {
    expect(records.get(4)!.record.with[0]).toBe(2);
    const counted = rows.filter((row) => [2, 4].every((j) => row.some(([own]) => own === j))).length;
    expect(records.get(4)!.record.with[1]).toBe(counted);
  });

  it("tells the class that it makes from the others, and says so by a distance and a precision", () => {
    const [own, distance, precision] = records.get(5)!.record.classes!;
    expect([own, precision]).toEqual([1, 1]);
    expect(distance).toBe(1);
    const [, chance] = records.get(1)!.record.classes!;
    expect(chance).toBeLessThan(0.2);
  });

  it("is the same whatever the pieces that the rows come in", () => {
    const others = recordsOf(gathered(77), { examples: 4, sample: 3 });
    // The first piece sets the bins, and its largest value may be another one's.
    for (const [j, { record }] of others) expect(record.examples).toEqual(records.get(j)!.record.examples);
    expect(gathered(500).tally.state).toEqual(all.tally.state);
  });
});

describe("a tally", () => {
  it("puts values far out of the first rows' range into its outer bins, and keeps their exact extremes", () => {
    const tally = new FeatureTally(1, 2);
    const one = (value: number) => codesOf([{ entries: [[0, value]], residualNorm: 0, relativeError: 0 }], 1);
    for (const [row, value] of [1, 1e9, 1e-9].entries()) tally.add(one(value), row);
    expect([tally.binOf(1e9), tally.binOf(1e-9)]).toEqual([STRATA * 4 - 1, 0]);
    expect(tally.state.max[0]).toBe(1e9);
  });

  it("adds nothing of rows without atoms", () => {
    const tally = new FeatureTally(2, 2);
    tally.add(codesOf([{ entries: [], residualNorm: 1, relativeError: 1 }], 2), 0);
    expect([...tally.state.count]).toEqual([0, 0]);
    expect(recordsOf({ ...all, tally, pairs: new PairCounts(2), classes: null }, { examples: 2, sample: 2 }).size).toBe(
      0,
    );
  });
});

describe("pairs of more features than have a counter each", () => {
  it("are counted, and no count is too low by more than what was forgotten", () => {
    const m = 9000;
    const pairs = new PairCounts(m);
    const codes = codesOf(
      Array.from({ length: 50 }, (_, i) => ({
        entries: [[1, 1], [8000, 2], ...(i % 2 === 0 ? [[8999, 1] as const] : [])] as [number, number][],
        residualNorm: 0,
        relativeError: 0,
      })),
      m,
    );
    pairs.add(codes);
    const seen: number[][] = [];
    pairs.each((i, j, count) => seen.push([i, j, count]));
    expect(seen.toSorted((a, b) => a[1]! - b[1]! || a[0]! - b[0]!)).toEqual([
      [1, 8000, 50],
      [1, 8999, 25],
      [8000, 8999, 25],
    ]);
    expect(pairs.lost).toBe(0);
  });
});

const fiveDigits = (value: number): number => Number(value.toPrecision(5));

describe("the reference rows as a whole", () => {
  it("have a mean number of atoms, explained variance, and distributions", () => {
    const rates = Float32Array.from(all.tally.state.count, (count) => count / ROWS);
    const { meanAtoms, explainedVariance, typical } = all.reference.figures(rates, true);
    expect(meanAtoms).toBeCloseTo(rows.reduce((sum, row) => sum + row.length, 0) / ROWS, 10);
    const data = Float64Array.from({ length: 2 * ROWS }, (_, i) => Math.fround(Math.sin(i)));
    const means = [0, 1].map((c) => data.reduce((sum, value, i) => sum + (i % 2 === c ? value : 0), 0) / ROWS);
    const variance = data.reduce((sum, value, i) => sum + (value - means[i % 2]!) ** 2, 0);
    expect(explainedVariance).toBeCloseTo(1 - (0.25 * ROWS) / variance, 6);
    expect(typical.relativeError).toEqual(Array.from({ length: 101 }, () => 0.25));
    expect(typical.surprise).toEqual(typical.surprise.toSorted((a, b) => a - b));
    const norms = Array.from({ length: ROWS }, (_, i) => Math.hypot(data[2 * i]!, data[2 * i + 1]!));
    expect([typical.norm![0], typical.norm![100]]).toEqual([Math.min(...norms), Math.max(...norms)].map(fiveDigits));
    expect(all.reference.figures(rates, false).explainedVariance).toBeNull();
  });
});
