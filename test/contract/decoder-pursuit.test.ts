/** Pursuit over the decoder of dictionaries of every kind: the oracle's codes over the same atoms, in their own scale. */
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import {
  type EncoderSettings,
  INPUT_NORMS,
  type InputNorm,
  ORTHOGONAL_SCORES,
  type PursuitChoice,
  RESELECTS,
  SCORES,
} from "../../src/engine/core/dictionary.ts";
import type { DictionaryWeights, PursuitWeights } from "../../src/engine/core/dictionary-weights.ts";
import type { SparseCodes } from "../../src/engine/core/sparse-codes.ts";
import type { BatchSession } from "../../src/engine/runtime/process/encoder-session.ts";
import { createDecoderPursuit } from "../../src/engine/runtime/sessions/create-session.ts";
import { compare, pursuitOf } from "../support/agreement.ts";
import { batchOf } from "../support/batch.ts";
import { inputsOf, readFixture } from "../support/fixture-data.ts";
import { normsAfter, oraclePursuit, pursuitSpace } from "../support/oracle.ts";
import { orthogonalOracle } from "../support/orthogonal-oracle.ts";
import { normals, random, randomAtoms } from "../support/seeded.ts";

const D = 24;
const M = 90;

interface Made {
  readonly weights: DictionaryWeights;
  /** [m] the factor from a unit atom's coefficient to the dictionary's own scale */
  readonly scale: Float64Array;
}

interface Shape {
  readonly seed: number;
  readonly norms?: readonly [number, number];
  /** Every so many atoms, the first included, one is zero. */
  readonly zeroEvery?: number;
  readonly inputNorm?: InputNorm;
  readonly center?: boolean;
  readonly subtractCenter?: boolean;
  readonly scaleByDecoderNorm?: boolean;
}

/** A TopK dictionary with a decoder of its own. Its encoder's weights do not matter here. */
function made(shape: Shape): Made {
  const { seed, norms: [least, most] = [1, 1], zeroEvery = 0, inputNorm = "none", center = false } = shape;
  const { next } = random(seed);
  const atoms = randomAtoms(M, D, seed + 1);
  const scale = new Float64Array(M);
  for (let j = 0; j < M; j++) {
    const wanted = zeroEvery > 0 && j % zeroEvery === 0 ? 0 : least + (most - least) * next();
    let squares = 0;
    for (let c = j * D; c < (j + 1) * D; c++) {
      atoms[c]! *= wanted;
      squares += atoms[c]! ** 2;
    }
    scale[j] = squares === 0 || shape.scaleByDecoderNorm ? 1 : 1 / Math.sqrt(squares);
  }
  const settings = {
    center,
    inputNorm,
    subtractCenter: shape.subtractCenter ?? true,
    k: 4,
    ...(shape.scaleByDecoderNorm && { scaleByDecoderNorm: true }),
  } as EncoderSettings;
  const weights = { kind: "topk", d: D, m: M, atoms, center: center ? normals(D, seed + 2) : null, settings };
  return { weights, scale };
}

/** The atoms of norm 1 that a plain pursuit has to select by, zero atoms as they are. */
function unit({ weights }: Made, pursuit: PursuitChoice): PursuitWeights {
  const { atoms, settings } = weights;
  const normed = Float32Array.from(atoms);
  for (let j = 0; j < M; j++) {
    let squares = 0;
    for (let c = j * D; c < (j + 1) * D; c++) squares += atoms[c]! ** 2;
    if (squares > 0) for (let c = j * D; c < (j + 1) * D; c++) normed[c] = atoms[c]! / Math.sqrt(squares);
  }
  const { score, ...more } = pursuit;
  return {
    ...weights,
    kind: "matching_pursuit",
    atoms: normed,
    settings: { ...settings, reselect: "add", ...more, score, residualThreshold: 0, maxAtoms: null },
  };
}

const open: BatchSession[] = [];
afterAll(() => Promise.all(open.map((one) => one.release())));
async function sessionOf(
  weights: DictionaryWeights,
  path: "fused" | "fused_residual" = "fused",
): Promise<BatchSession> {
  const session = await createDecoderPursuit(weights, { runtime: "cpu", path, threads: 1 });
  open.push(session);
  return session;
}

/** Row i as the oracle sees it: in the scale of unit atoms. */
function inUnits(codes: SparseCodes, i: number, scale: Float64Array) {
  const pursuit = pursuitOf(codes, i);
  return { ...pursuit, values: pursuit.values.map((value, k) => value / scale[pursuit.indices[k]!]!) };
}

async function agree(dictionary: Made, pursuit: PursuitChoice, path: "fused" | "fused_residual" = "fused") {
  const { weights, scale } = dictionary;
  const rows = normals(D * 24, 99);
  const session = await sessionOf(weights, path);
  const codes = await session.encode({ ...batchOf(rows, D, { maxAtoms: 10 }), pursuit });
  const oracleOf = (x: Float32Array) => {
    const compared = unit(dictionary, pursuit);
    if (pursuit.kind === "matching_pursuit") return oraclePursuit(x, compared, { maxAtoms: 10 });
    const settings = { ...compared.settings, score: pursuit.score, rawScores: false };
    return orthogonalOracle(x, { ...compared, settings }, { maxAtoms: 10 });
  };
  let agreed = 0;
  for (let i = 0; i < codes.count; i++) {
    const x = pursuitSpace(rows.subarray(i * D, (i + 1) * D), weights.settings.inputNorm);
    const oracle = oracleOf(x);
    const verdict = compare(inUnits(codes, i, scale), oracle, oracle);
    if (verdict.kind === "differs") throw new Error(`row ${i}: ${verdict.why}`);
    if (verdict.kind === "agreed") agreed++;
  }
  return { agreed, codes, rows };
}

const DICTIONARIES: readonly (readonly [string, Shape])[] = [
  ["unit atoms", { seed: 1 }],
  ["atoms of any norm", { seed: 2, norms: [0.05, 9] }],
  ["zero atoms", { seed: 3, norms: [0.5, 2], zeroEvery: 5 }],
  ["a centre", { seed: 4, norms: [0.5, 2], center: true }],
  [
    "a centre that its own encoder does not subtract",
    { seed: 5, norms: [0.5, 2], center: true, subtractCenter: false },
  ],
  ["codes in units of the atoms' norms", { seed: 6, norms: [0.5, 2], center: true, scaleByDecoderNorm: true }],
  ["layer_norm", { seed: 7, norms: [0.5, 2], center: true, inputNorm: "layer_norm" }],
  ["constant_norm_rescale", { seed: 8, norms: [0.5, 2], center: true, inputNorm: "constant_norm_rescale" }],
];

describe.each(DICTIONARIES)("pursuit over a decoder with %s", (_name, shape) => {
  const dictionary = made(shape);

  it("agrees with the float64 oracle, matching pursuit", async () => {
    const pursuit = { kind: "matching_pursuit", score: "relu", reselect: "add" } as const;
    expect((await agree(dictionary, pursuit)).agreed).toBeGreaterThan(15);
  });

  it("agrees with the float64 oracle, orthogonal", async () => {
    expect((await agree(dictionary, { kind: "orthogonal", score: "relu" })).agreed).toBeGreaterThan(15);
  });

  it("gives the same residual figures as decode by the dictionary's own atoms", async () => {
    const pursuit = { kind: "matching_pursuit", score: "relu", reselect: "add" } as const;
    const { codes, rows } = await agree(dictionary, pursuit);
    const { atoms, center, settings } = dictionary.weights;
    const decoder = shape.scaleByDecoderNorm ? unit(dictionary, pursuit).atoms : atoms;
    for (let i = 0; i < codes.count; i++) {
      const x = pursuitSpace(rows.subarray(i * D, (i + 1) * D), settings.inputNorm);
      const [from, to] = [codes.indptr[i]!, codes.indptr[i + 1]!];
      const code = { indices: [...codes.indices.subarray(from, to)], values: [...codes.values.subarray(from, to)] };
      const left = normsAfter(x, { atoms: decoder, center, d: D }, code).at(-1)!;
      expect(codes.residualNorms![i]! / left).toBeCloseTo(1, 4);
    }
  });
});

describe("settings of a request", () => {
  const dictionary = made({ seed: 11, norms: [0.3, 3], zeroEvery: 7 });
  const choices: PursuitChoice[] = [
    ...SCORES.flatMap((score) => RESELECTS.map((reselect) => ({ kind: "matching_pursuit", score, reselect }) as const)),
    ...ORTHOGONAL_SCORES.map((score) => ({ kind: "orthogonal", score }) as const),
  ];

  it.each(choices)("hold for its batch alone: %j", async (pursuit) => {
    for (const path of ["fused", "fused_residual"] as const) {
      const { agreed, codes } = await agree(dictionary, pursuit, path);
      expect(agreed).toBeGreaterThan(10);
      expect(codes.indices.every((j) => j % 7 !== 0)).toBe(true);
    }
  });

  it("change from batch to batch in one session", async () => {
    const session = await sessionOf(dictionary.weights);
    const batch = batchOf(normals(D * 6, 5), D, { maxAtoms: 6 });
    const alone = [];
    for (const pursuit of choices) alone.push(await session.encode({ ...batch, pursuit }));
    for (const [i, pursuit] of [...choices.entries()].toReversed())
      expect(await session.encode({ ...batch, pursuit })).toEqual(alone[i]);
  });
});

describe("a group", () => {
  it("leaves only its own atoms to each row, on both paths", async () => {
    const dictionary = made({ seed: 31, norms: [0.3, 3], zeroEvery: 7 });
    const widths = [0, 1, 2, 40, M];
    const row = normals(D, 32);
    const rows = Float32Array.from(widths.flatMap(() => [...row]));
    for (const path of ["fused", "fused_residual"] as const) {
      const session = await sessionOf(dictionary.weights, path);
      for (const pursuit of [
        { kind: "matching_pursuit", score: "absolute", reselect: "add" },
        { kind: "orthogonal", score: "absolute" },
      ] as const) {
        const budgets = widths.map((group) => ({ maxAtoms: 6, ...(group > 0 && { group }) }));
        const codes = await session.encode({ ...batchOf(rows, D, budgets), pursuit });
        const selected = widths.map((_, i) => pursuitOf(codes, i).indices);
        // Atom 0 is zero: a group of it alone holds no candidate.
        expect([selected[1], pursuitOf(codes, 1).stop]).toEqual([[], "no_gain"]);
        expect(new Set(selected[2])).toEqual(new Set([1]));
        expect(selected[3]!.length).toBeGreaterThan(3);
        expect(selected[3]!.every((j) => j < 40)).toBe(true);
        expect(selected[4]).toEqual(selected[0]);
        // As a dictionary of those atoms alone would be encoded.
        const { weights } = dictionary;
        const alone = await sessionOf({ ...weights, m: 40, atoms: weights.atoms.subarray(0, 40 * D) }, path);
        const wanted = pursuitOf(await alone.encode({ ...batchOf(row, D, { maxAtoms: 6 }), pursuit }), 0);
        expect(selected[3]).toEqual(wanted.indices);
      }
    }
  });
});

describe("a zero atom is never a candidate", () => {
  it("not even where every other score is negative and the largest signed one wins", async () => {
    // Both atoms point away from the row; 0 would be the larger score.
    const atoms = Float32Array.of(0, 0, -1, 0, 0, -2);
    const settings = { center: false, inputNorm: "none", subtractCenter: false, k: 1 } as EncoderSettings;
    const session = await sessionOf({ kind: "topk", d: 2, m: 3, atoms, center: null, settings });
    const pursuit = { kind: "matching_pursuit", score: "signed", reselect: "forbid" } as const;
    const codes = await session.encode({ ...batchOf(Float32Array.of(3, 1), 2, { maxAtoms: 5 }), pursuit });
    expect(codes.width).toBe(3);
    expect([...codes.trace!.indices]).toEqual([2, 1]);
    expect([...codes.trace!.values]).toEqual([-0.5, -3]);
    expect(pursuitOf(codes, 0).stop).toBe("no_gain");
  });
});

describe("a smaller budget", () => {
  it("gives a prefix of the trace", async () => {
    const sessions = new Map<number, BatchSession>();
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(21, 22, 23),
        fc.constantFrom(...INPUT_NORMS),
        fc.constantFrom<PursuitChoice>(
          { kind: "matching_pursuit", score: "relu", reselect: "add" },
          { kind: "matching_pursuit", score: "absolute", reselect: "stop" },
          { kind: "orthogonal", score: "relu" },
          { kind: "orthogonal", score: "absolute" },
        ),
        fc.integer({ min: 0, max: 12 }),
        fc.integer({ min: 0, max: 1000 }),
        async (seed, inputNorm, pursuit, k, rowSeed) => {
          const key = seed + 100 * INPUT_NORMS.indexOf(inputNorm);
          const { weights } = made({ seed, norms: [0.2, 4], zeroEvery: seed, center: true, inputNorm });
          const session = sessions.get(key) ?? (await sessionOf(weights));
          sessions.set(key, session);
          const rows = normals(D * 3, rowSeed);
          const [long, short] = await Promise.all(
            [12, k].map((maxAtoms) => session.encode({ ...batchOf(rows, D, { maxAtoms }), pursuit })),
          );
          for (let i = 0; i < 3; i++) {
            const [all, some] = [pursuitOf(long!, i), pursuitOf(short!, i)];
            expect(some.indices).toEqual(all.indices.slice(0, some.indices.length));
            expect(some.values).toEqual(all.values.slice(0, some.values.length));
            expect(some.indices.length).toBe(Math.min(k, all.indices.length));
          }
        },
      ),
      { numRuns: 60, seed: 5 },
    );
  });
});

/** The same atoms, taken for the decoder of a dictionary of another kind. */
describe.each(["sae-lens", "overcomplete"])("fidelity to %s' matching pursuit over a decoder", (name) => {
  // Settings of a request are all there is: no threshold, and atoms of norm 1, as other norms are normed away. Those that
  // take the oracle seconds are test/contract/fidelity.test.ts'.
  const cases = readFixture(name).cases.filter(
    ({ atoms, m, residual_threshold: threshold }) =>
      threshold === 0 && m <= 1024 && atoms.kind === "random" && atoms.norms[0] === 1 && atoms.norms[1] === 1,
  );
  let agreed = 0;
  let rowsSeen = 0;
  afterAll(() => {
    expect(agreed).toBeGreaterThan(rowsSeen / 2);
  });

  it.each(cases.map((one, i) => [i, `${one.name} (${one.reselect})`] as const))(
    "case %i: %s",
    async (i) => {
      const fixture = cases[i]!;
      const { d, steps, input_norm: inputNorm } = fixture;
      const { weights, rows } = await inputsOf(fixture);
      const { center, score, reselect } = weights.settings;
      const settings = { center, inputNorm, subtractCenter: false, k: 1 } as EncoderSettings;
      const session = await createDecoderPursuit(
        { ...weights, kind: "topk", settings },
        { runtime: "cpu", path: "fused", threads: 1 },
      );
      const pursuit = { kind: "matching_pursuit", score, reselect } as const;
      const codes = await session.encode({ ...batchOf(rows, d, { maxAtoms: steps }), pursuit });
      await session.release();
      rowsSeen += fixture.results.length;
      for (const [row, result] of fixture.results.entries()) {
        const x = pursuitSpace(rows.subarray(row * d, (row + 1) * d), inputNorm);
        const norms = normsAfter(x, weights, result);
        const verdict = compare(
          pursuitOf(codes, row),
          { ...result, norms },
          oraclePursuit(x, weights, { maxAtoms: steps }),
        );
        if (verdict.kind === "differs") throw new Error(`row ${row}: ${verdict.why}`);
        if (verdict.kind === "agreed") agreed++;
      }
    },
    240_000,
  );
});
