import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  ANSWER_FIELDS,
  type EncodeAnswerHead,
  explainedVariance,
  FORMATS,
  shortestFloat32,
  shortestFloats,
  writeCodes,
  writeRows,
} from "../../src/codecs/write-codes.ts";
import { readCodes } from "../../src/codecs/codes.ts";
import { certainBytes, checkAnswer, codesBytes, floatsBytes, leastBytes, rowsBytes } from "../../src/codecs/answers.ts";
import { type CodeRow, codesOf } from "../support/codes.ts";

const WIDTH = 6;
const D = 2;
const HEAD: EncodeAnswerHead = {
  dictionary: "small",
  sha256: "ab".repeat(32),
  format: "sparse",
  shape: null,
  totalVariance: null,
  labels: null,
};
const ROWS: readonly CodeRow[] = [
  {
    entries: [
      [1, 0.1],
      [4, -2],
    ],
    residualNorm: 0.3,
    relativeError: 0.25,
    stop: "tolerance",
  },
  { entries: [], residualNorm: 1, relativeError: 1, stop: "no_gain" },
];

const write = (rows: readonly CodeRow[], head: Partial<EncodeAnswerHead> = {}): Record<string, unknown> =>
  JSON.parse(writeCodes(codesOf(rows, WIDTH), { ...HEAD, ...head })) as Record<string, unknown>;

/** What every row says of itself, whatever the format of its code. */
const FACTS = [
  { atoms: 2, steps: 2, residual_norm: 0.3, relative_error: 0.25, stop: "tolerance" },
  { atoms: 0, steps: 0, residual_norm: 1, relative_error: 1, stop: "no_gain" },
];

describe("an encode answer", () => {
  it("names the dictionary and its version, and what the batch came to where that is asked for", () => {
    const { codes: _, ...head } = write(ROWS);
    expect(head).toEqual({ dictionary: "small", sha256: HEAD.sha256 });
    expect(write(ROWS, { totalVariance: 8 })).toMatchObject({
      mean_atoms: 1,
      explained_variance: expect.closeTo(1 - (0.09 + 1) / 8, 6),
    });
    expect(write(ROWS, { totalVariance: 0 })["explained_variance"]).toBeNull();
  });

  it("is sparse: indices and values", () => {
    expect(write(ROWS)["codes"]).toEqual([
      { indices: [1, 4], values: [0.1, -2], ...FACTS[0] },
      { indices: [], values: [], ...FACTS[1] },
    ]);
  });

  it("is dense: rows of m", () => {
    expect(write(ROWS, { format: "dense" })["codes"]).toEqual([
      { values: [0, 0.1, 0, 0, -2, 0], ...FACTS[0] },
      { values: [0, 0, 0, 0, 0, 0], ...FACTS[1] },
    ]);
  });

  it("is a map from feature to value", () => {
    expect(write(ROWS, { format: "map" })["codes"]).toEqual([
      { values: { 1: 0.1, 4: -2 }, ...FACTS[0] },
      { values: {}, ...FACTS[1] },
    ]);
  });

  it("is what scipy.sparse.csr_matrix takes, and the rows' facts in columns", () => {
    expect(write(ROWS, { format: "csr", shape: [1, 2, D] })).toEqual({
      dictionary: "small",
      sha256: HEAD.sha256,
      indptr: [0, 2, 2],
      indices: [1, 4],
      values: [0.1, -2],
      shape: [2, WIDTH],
      atoms: [2, 0],
      steps: [2, 0],
      residual_norm: [0.3, 1],
      relative_error: [0.25, 1],
      stop: ["tolerance", "no_gain"],
    });
  });

  it.each(FORMATS)("in format %s has no field that decode refuses", (format) => {
    const head: Partial<EncodeAnswerHead> = {
      format,
      shape: [2, 1, D],
      totalVariance: 8,
      warning: "far off",
      encoder: { kind: "matching_pursuit", score: "relu", reselect: "add" },
      ...(format !== "dense" && { labels: [{ text: "one", source: "tests" }, null] }),
    };
    const { codes, ...fields } = write(ROWS, head);
    const known: readonly string[] = ANSWER_FIELDS;
    if (format !== "csr") expect(Object.keys(fields).filter((name) => !known.includes(name))).toEqual([]);
    const limits = { maxRows: 10 };
    expect(readCodes(format === "csr" ? fields : codes, limits, { d: D, m: WIDTH })).toMatchObject({
      count: 2,
      indices: Uint32Array.of(1, 4),
    });
  });

  it("echoes the shape of inputs that had more than one leading dimension", () => {
    expect(write(ROWS, { shape: [1, 2, D] })["shape"]).toEqual([1, 2, D]);
    expect(write(ROWS)).not.toHaveProperty("shape");
  });

  const full: readonly CodeRow[] = [
    {
      entries: [[3, 1.5]],
      trace: [
        [3, 1, 2],
        [3, 0.5, 1],
      ],
      reconstruction: [0.1, 0.2],
      norm: { shift: 0.5, scale: 2 },
    },
    { entries: [], trace: [], reconstruction: [7, 8], norm: { shift: 0, scale: 1 } },
  ];

  it("adds trace, reconstruction and norm to each row", () => {
    const [first, second] = write(full)["codes"] as [object, object];
    expect(first).toMatchObject({
      atoms: 1,
      steps: 2,
      trace: { indices: [3, 3], values: [1, 0.5], residual_norms: [2, 1] },
      reconstruction: [0.1, 0.2],
      norm: { shift: 0.5, scale: 2 },
    });
    expect(second).toMatchObject({ trace: { indices: [], values: [], residual_norms: [] }, reconstruction: [7, 8] });
  });

  it("adds them in columns under csr", () => {
    expect(write(full, { format: "csr" })).toMatchObject({
      reconstruction: [
        [0.1, 0.2],
        [7, 8],
      ],
      norm: [
        { shift: 0.5, scale: 2 },
        { shift: 0, scale: 1 },
      ],
      trace: [{ indices: [3, 3] }, { indices: [] }],
    });
  });
});

const bits = new DataView(new ArrayBuffer(4));
/** Floats alike by their bits: every length that JSON writes comes up. */
const float = fc
  .integer({ min: 0, max: 0xffffffff })
  .map((pattern) => (bits.setUint32(0, pattern), bits.getFloat32(0)))
  .filter(Number.isFinite);
const M = 8_388_608;

function rowsOf(withAll: boolean): fc.Arbitrary<readonly CodeRow[]> {
  const entry = fc.tuple(fc.integer({ min: 0, max: M - 1 }), float);
  const row = fc.record({
    entries: fc
      .uniqueArray(entry, { maxLength: 6, selector: ([index]) => index })
      .map((entries) => entries.toSorted(([a], [b]) => a - b)),
    residualNorm: float.map(Math.abs),
    relativeError: float.map(Math.abs),
    stop: fc.constantFrom("residual_norm" as const, "max_atoms" as const),
    ...(withAll && {
      norm: fc.record({ shift: float, scale: float }),
      trace: fc.array(fc.tuple(fc.integer({ min: 0, max: M - 1 }), float, float), { maxLength: 6 }),
      reconstruction: fc.array(float, { minLength: D, maxLength: D }),
    }),
  });
  return fc.array(row, { minLength: 1, maxLength: 4 });
}

describe("the bytes of an answer", () => {
  it.each(FORMATS.filter((format) => format !== "dense"))("in format %s are never more than foretold", (format) => {
    fc.assert(
      fc.property(fc.oneof(rowsOf(false), rowsOf(true)), (rows) => {
        const codes = codesOf(rows, M);
        const head = { ...HEAD, dictionary: "d".repeat(128), format, shape: [16_384, 16_384, 131_072] };
        expect(writeCodes(codes, head).length).toBeLessThanOrEqual(codesBytes(codes, format));
      }),
      { seed: 1, numRuns: 300 },
    );
  });

  it("in format dense are never more than foretold, nor fewer than were certain", () => {
    fc.assert(
      fc.property(rowsOf(true), fc.integer({ min: 1, max: 50 }), (rows, width) => {
        const narrow = rows.map((row) => ({ ...row, entries: row.entries.map(([, value], k) => [k, value] as const) }));
        const codes = codesOf(narrow, 6 + width);
        const { length } = writeCodes(codes, { ...HEAD, format: "dense" });
        expect(length).toBeLessThanOrEqual(codesBytes(codes, "dense"));
        expect(length).toBeGreaterThanOrEqual(
          certainBytes(codes.count, { d: D, m: codes.width }, { format: "dense", reconstruction: true }, "json"),
        );
      }),
      { seed: 2, numRuns: 200 },
    );
  });

  it("of a float are never more than foretold, at every magnitude", () => {
    const mantissa = fc.float({ min: 1, max: 10, noNaN: true, maxExcluded: true });
    fc.assert(
      fc.property(mantissa, fc.boolean(), (digits, negative) => {
        for (let exponent = -45; exponent <= 38; exponent++) {
          const value = Math.fround(digits * 10 ** exponent) * (negative ? -1 : 1);
          if (!Number.isFinite(value)) continue;
          const { length } = JSON.stringify([shortestFloat32(value)]);
          // Its brackets stand for its comma.
          expect(length - 1, String(value)).toBeLessThanOrEqual(floatsBytes(Float32Array.of(value)));
        }
      }),
      { seed: 4, numRuns: 300 },
    );
  });

  it("of rows without atoms are never more than foretold, however long their other fields", () => {
    const long = Math.fround(1.2345679e20);
    const row: CodeRow = { entries: [], residualNorm: long, relativeError: long, stop: "residual_norm" };
    const full = { ...row, norm: { shift: -long, scale: -long }, trace: [], reconstruction: [0, 0] };
    for (const format of FORMATS) {
      const codes = codesOf(
        Array.from({ length: 1000 }, () => full),
        1,
      );
      codes.steps.fill(65_536);
      expect(writeCodes(codes, { ...HEAD, format }).length, format).toBeLessThanOrEqual(codesBytes(codes, format));
    }
  });

  it("are foretold closely enough to be of use", () => {
    const entries = Array.from({ length: 4000 }, (_, k) => [k, Math.fround(Math.sin(k)) / 3] as const);
    const codes = codesOf([{ entries }], 4096);
    expect(codesBytes(codes, "sparse")).toBeLessThan(1.6 * writeCodes(codes, HEAD).length);
  });

  it("of decoded rows are never more than foretold, nor fewer than were certain", () => {
    fc.assert(
      fc.property(fc.array(float, { minLength: 1, maxLength: 30 }), (data) => {
        const rows = { data: Float32Array.from(data), count: data.length, width: 1 };
        const { length } = writeRows(rows);
        expect(length).toBeLessThanOrEqual(rowsBytes(rows));
        expect(length).toBeGreaterThanOrEqual(leastBytes(data.length, "json"));
      }),
      { seed: 3 },
    );
  });

  it("may reach the limit and not pass it", () => {
    expect(() => checkAnswer(100, 100)).not.toThrow();
    expect(() => checkAnswer(101, 100)).toThrow(/would take about 101 bytes; at most 100 are sent/);
  });
});

describe("a decode answer", () => {
  it("is rows of d numbers", () => {
    const rows = { data: Float32Array.of(0.1, -2, 3, 1e-7), count: 2, width: 2 };
    expect(writeRows(rows)).toBe('{"outputs":[[0.1,-2],[3,1e-7]]}');
  });
});

const floatBits = new DataView(new ArrayBuffer(4));
function float32Of(pattern: number): number {
  floatBits.setUint32(0, pattern);
  return floatBits.getFloat32(0);
}

/** Significant digits of a number's shortest text. */
const digitsOf = (value: number): number =>
  value.toExponential().replace(/^-/, "").replace(/e.*$/, "").replace(".", "").length;

/** Fewest digits of any decimal that is this float32: for each length, the two decimals around it are tried. */
function fewestDigits(value: number): number {
  for (let digits = 1; digits < 9; digits++) {
    const [mantissa, exponent] = value.toExponential(digits - 1).split("e") as [string, string];
    for (const step of [-1, 0, 1]) {
      const whole = BigInt(mantissa.replace(".", "")) + BigInt(step);
      if (Math.fround(Number(`${whole}e${Number(exponent) - digits + 1}`)) === value) return digits;
    }
  }
  return 9;
}

/** All floats alike by their bits, so that every magnitude comes up, subnormals too. */
const anyFloat = fc
  .integer({ min: 0, max: 0xffffffff })
  .map(float32Of)
  .filter((value) => Number.isFinite(value) && value !== 0);
const ordinary = fc.float({ min: -4, max: 4, noNaN: true }).filter((value) => value !== 0);

describe("shortestFloat32", () => {
  it("is a decimal of the same float32, with no digit more than it needs", () => {
    fc.assert(
      fc.property(fc.oneof(anyFloat, ordinary), (value) => {
        const shortest = shortestFloat32(value);
        expect(Math.fround(shortest)).toBe(value);
        expect(digitsOf(shortest)).toBe(fewestDigits(value));
      }),
      { seed: 1, numRuns: 20_000 },
    );
  });

  it("holds at every power of two and beside it, but for three that get a digit more", () => {
    // A power of two is farther from the float above than from the one below. At these, the shortest decimal is not the
    // nearest of its length, but the one above that; no other float32 is so.
    const longer = new Set([2 ** -96, 2 ** 87, 2 ** 90]);
    for (let exponent = 0; exponent < 255; exponent++) {
      for (const offset of [-1, 0, 1]) {
        const value = float32Of(Math.max(1, (exponent << 23) + offset));
        const shortest = shortestFloat32(value);
        expect(Math.fround(shortest)).toBe(value);
        expect(digitsOf(shortest), String(value)).toBe(fewestDigits(value) + (longer.has(value) ? 1 : 0));
      }
    }
  });

  it("prints what people write", () => {
    const written = [0.1, -0.3, 1e-45, 3.4028235e38, 16_777_216, 0.001, 123_456.7, 1e10, 1.1754944e-38, 0, -7];
    expect(written.map((value) => shortestFloat32(Math.fround(value)))).toEqual(written);
  });

  it("does the same for a column", () => {
    expect(JSON.stringify(shortestFloats(Float32Array.of(0.1, 1 / 3, 0, 100)))).toBe("[0.1,0.33333334,0,100]");
  });
});

const coded = (...residualNorms: number[]) =>
  codesOf(
    residualNorms.map((residualNorm) => ({ entries: [], residualNorm })),
    4,
  );

describe("explainedVariance", () => {
  it("is 1 - Σ||x - x̂||² / Σ||x - mean||²", () => {
    expect(explainedVariance(coded(0.5, 0.5), 2)).toBe(1 - 0.5 / 2);
    expect(explainedVariance(coded(0, 0), 2)).toBe(1);
  });

  it("is negative where the mean would have done better", () => {
    expect(explainedVariance(coded(2, 2), 2)).toBe(1 - 8 / 2);
  });

  it("is null where the rows do not vary", () => {
    expect(explainedVariance(coded(0.5), 0)).toBeNull();
    expect(explainedVariance(coded(0.5, 0.5), 0)).toBeNull();
    expect(explainedVariance(coded(0, 0), 0)).toBeNull();
  });

  it("measures in the rows' space under an input norm", () => {
    const norm = { shift: 9, scale: 4 };
    const codes = codesOf(
      [0.25, 0.25].map((residualNorm) => ({ entries: [], residualNorm, norm })),
      4,
    );
    expect(explainedVariance(codes, 2)).toBe(1 - 2 / 2);
  });
});
