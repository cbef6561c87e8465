/** Zero atoms, as dead features leave them: they keep their index, are never selected, and change no other code. */
import { afterAll, describe, expect, it } from "vitest";
import { ORTHOGONAL_SCORES, PURSUIT_PATHS, RESELECTS, SCORES } from "../../src/engine/core/dictionary.ts";
import type { DictionaryWeights, PursuitWeights } from "../../src/engine/core/dictionary-weights.ts";
import type { Edit } from "../../src/engine/core/edits.ts";
import type { SparseCodes } from "../../src/engine/core/sparse-codes.ts";
import type { EncoderSession } from "../../src/engine/runtime/process/encoder-session.ts";
import { createEncoderSession } from "../../src/engine/runtime/sessions/create-session.ts";
import { steer, type SteeredBy } from "../../src/engine/serving/steering/steer.ts";
import { compare, pursuitOf } from "../support/agreement.ts";
import { batchOf } from "../support/batch.ts";
import { oraclePursuit } from "../support/oracle.ts";
import { normals, randomAtoms } from "../support/seeded.ts";

const D = 16;
const M = 60;
const ROWS = normals(D * 20, 2);
const BUDGET = { maxAtoms: 12 };

/** Atoms with every fifth set to zero, from the first on, and those of them that are not zero with their indices. */
const all = randomAtoms(M, D, 1).map((value, at) => (Math.floor(at / D) % 5 === 0 ? 0 : value));
const kept = Array.from({ length: M }, (_, j) => j).filter((j) => j % 5 !== 0);
const compact = Float32Array.from(kept.flatMap((j) => [...all.subarray(j * D, (j + 1) * D)]));

const COMMON = { center: false, residualThreshold: 0, maxAtoms: null, inputNorm: "none" } as const;
const pursuit = (atoms: Float32Array, settings: object): PursuitWeights =>
  ({
    kind: "matching_pursuit",
    d: D,
    m: atoms.length / D,
    atoms,
    center: null,
    settings: { ...COMMON, ...settings },
  }) as PursuitWeights;

const open: EncoderSession[] = [];
afterAll(() => Promise.all(open.map((one) => one.release())));

async function encode(weights: DictionaryWeights, path: (typeof PURSUIT_PATHS)[number]): Promise<SparseCodes> {
  const session = await createEncoderSession(weights, { runtime: "cpu", path, threads: 1 });
  open.push(session);
  return session.encode(batchOf(ROWS, D, BUDGET));
}

/** Codes over the atoms that are not zero, by the indices of all. */
const widened = (codes: SparseCodes) => ({
  indices: Array.from(codes.indices, (j) => kept[j]!),
  values: [...codes.values],
  stops: [...codes.stops],
});
const plain = ({ indices, values, stops }: SparseCodes) => ({
  indices: [...indices],
  values: [...values],
  stops: [...stops],
});

function expectSame(found: ReturnType<typeof plain>, wanted: ReturnType<typeof plain>): void {
  expect(found.indices).toEqual(wanted.indices);
  expect(found.stops).toEqual(wanted.stops);
  for (const [k, value] of found.values.entries()) expect(value).toBeCloseTo(wanted.values[k]!, 4);
}

describe.each(PURSUIT_PATHS)("zero atoms, %s path", (path) => {
  it.each(
    SCORES.filter((score) => score !== "signed").flatMap((score) => RESELECTS.map((reselect) => [score, reselect])),
  )("score %s, reselect %s: codes are those without them", async (score, reselect) => {
    const codes = await encode(pursuit(all, { score, reselect }), path);
    expectSame(plain(codes), widened(await encode(pursuit(compact, { score, reselect }), path)));
  });

  it("score signed: where every other score is negative, they end the row, as in overcomplete they would for ever", async () => {
    const weights = pursuit(all, { score: "signed", reselect: "add" });
    const codes = await encode(weights, path);
    for (let i = 0; i < codes.count; i++) {
      const oracle = oraclePursuit(ROWS.subarray(i * D, (i + 1) * D), weights, BUDGET);
      expect(compare(pursuitOf(codes, i), oracle, oracle).kind).not.toBe("differs");
    }
    expect([...codes.indices].filter((j) => j % 5 === 0)).toEqual([]);
  });
});

describe.each(["fused", "fused_residual"] as const)("zero atoms, orthogonal, %s path", (path) => {
  it.each(ORTHOGONAL_SCORES.flatMap((score) => [true, false].map((rawScores) => [score, rawScores] as const)))(
    "score %s, raw scores %s: codes are those without them",
    async (score, rawScores) => {
      const of = (atoms: Float32Array): DictionaryWeights => ({
        ...pursuit(atoms, { score, rawScores }),
        kind: "orthogonal_matching_pursuit",
      });
      expectSame(plain(await encode(of(all), path)), widened(await encode(of(compact), path)));
    },
  );
});

describe("neighbours of atoms, some of which are zero", () => {
  it("are atoms with a direction; a zero atom has none", async () => {
    await encode(pursuit(all, { score: "relu", reselect: "add" }), "fused");
    const session = open.at(-1)!;
    const near = await session.neighbours(1, M);
    expect(near.map(({ index }) => index).toSorted((a, b) => a - b)).toEqual(kept.filter((j) => j !== 1));
    expect(near.every(({ cosine }) => Number.isFinite(cosine))).toBe(true);
    expect(await session.neighbours(0, M)).toEqual([]);
  });
});

describe("steering by a zero atom", () => {
  it("adds nothing to a row, and is refused as a direction", async () => {
    const weights = pursuit(all, { score: "relu", reselect: "add" });
    const session = await createEncoderSession(weights, { runtime: "cpu", path: "residual", threads: 1 });
    open.push(session);
    const by: SteeredBy = {
      d: D,
      m: M,
      sha256: "ab".repeat(32),
      setEdits: [],
      encode: async ({ rows, budget }) => {
        const codes = await session.encode(batchOf(rows.data, D, budget ?? {}));
        return { codes, totalVariance: null, sha256: "ab".repeat(32) };
      },
      steer: (batch) => Promise.resolve(session.steer(batch)),
      now: () => 0,
      onSteered: () => {},
    };
    const rows = { data: ROWS, count: ROWS.length / D, width: D };
    const steered = (edits: readonly Edit[]) => steer({ rows, budget: BUDGET, edits, effect: true }, by);
    const { rows: same } = await steered([{ feature: 5, op: "add", value: 3 }]);
    expect(same.data).toEqual(ROWS);
    await expect(
      steered([
        { feature: 1, op: "add_direction", strength: 1 },
        { feature: 5, op: "add_direction", strength: 1, rows: [2] },
      ]),
    ).rejects.toThrow("edits[1]: atom 5 is zero, so it has no direction. Give a vector instead.");
  });
});
