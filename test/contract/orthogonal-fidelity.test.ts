/**
 * Orthogonal pursuit against the reference implementations' own answers (tools/fixtures/make_orthogonal.py): the same
 * atoms in the same order up to the first undecided step, and, where every step was decided, coefficients within 1e-5 of
 * the row's largest. Prints how many rows agreed, how many were undecided, of how many. The quick run takes a few rows of each
 * case.
 */
import { afterAll, describe, expect, it } from "vitest";
import { sample } from "../support/full.ts";
import type { OrthogonalWeights } from "../../src/engine/core/dictionary-weights.ts";
import { createEncoderSession } from "../../src/engine/runtime/sessions/create-session.ts";
import type { SparseCodes } from "../../src/engine/core/sparse-codes.ts";
import type { Verdict } from "../support/agreement.ts";
import { batchOf } from "../support/batch.ts";
import { type FixtureCase, readFixture, sampledInputsOf } from "../support/fixture-data.ts";
import { leastSquares, orthogonalised, type OrthogonalOracle, orthogonalOracle } from "../support/orthogonal-oracle.ts";

type Result = FixtureCase["results"][number];

const budgetOf = ({ steps, residual_norm: residualNorm }: FixtureCase) => ({
  maxAtoms: steps,
  ...(residualNorm !== undefined && { residualNorm }),
});

/** Both paths' codes of a case, its rows in pursuit space, and the reference's results. */
async function encode(fixture: FixtureCase) {
  const { weights: plain, rows, results } = await sampledInputsOf(fixture);
  const { reselect: _, score, ...settings } = plain.settings;
  const weights: OrthogonalWeights = {
    ...plain,
    kind: "orthogonal_matching_pursuit",
    settings: { ...settings, score: score === "relu" ? "relu" : "absolute", rawScores: fixture.raw_scores! },
  };
  const codes: [path: string, SparseCodes][] = [];
  for (const path of ["fused", "fused_residual"] as const) {
    const session = await createEncoderSession(weights, { runtime: "cpu", path, threads: 1 });
    codes.push([path, await session.encode(batchOf(rows, fixture.d, budgetOf(fixture)))]);
    await session.release();
  }
  const row = (i: number): Float32Array => rows.subarray(i * fixture.d, (i + 1) * fixture.d);
  return { weights, codes, row, results };
}

/** Selections of row i in order, with their final coefficients. */
function solvedRow(codes: SparseCodes, i: number) {
  const { indptr, indices } = codes.trace!;
  const selected = [...indices.subarray(indptr[i], indptr[i + 1])];
  const values = new Map<number, number>();
  for (let k = codes.indptr[i]!; k < codes.indptr[i + 1]!; k++) values.set(codes.indices[k]!, codes.values[k]!);
  return { indices: selected, values: selected.map((j) => values.get(j) ?? 0), residualNorm: codes.residualNorms![i]! };
}

function compareSolved(ours: ReturnType<typeof solvedRow>, other: Result, oracle: OrthogonalOracle): Verdict {
  for (let k = 0; k < oracle.decided; k++) {
    if (ours.indices[k] !== other.indices[k]) {
      return { kind: "differs", why: `step ${k}: ours selects ${ours.indices[k]}, the other ${other.indices[k]}` };
    }
  }
  if (!oracle.allDecided) {
    const apart = Math.abs(ours.residualNorm - other.residualNorm);
    if (apart <= 0.01 * Math.max(ours.residualNorm, other.residualNorm) || apart <= 1e-3 * oracle.norm) {
      return { kind: "undecided" };
    }
    return { kind: "differs", why: `residuals ${ours.residualNorm} and ${other.residualNorm}` };
  }
  if (ours.indices.length !== other.indices.length) {
    return { kind: "differs", why: `${ours.indices.length} selections, the other makes ${other.indices.length}` };
  }
  const largest = other.values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  for (const [k, value] of ours.values.entries()) {
    if (!(Math.abs(value - other.values[k]!) <= 1e-5 * largest)) {
      return { kind: "differs", why: `coefficient ${k}: ours ${value}, the other's ${other.values[k]}` };
    }
  }
  return { kind: "agreed" };
}

describe.each(["mergekit", "sklearn", "sklearn-gram", "nnls"])("fidelity to %s", (name) => {
  const { reference, cases } = readFixture(`orthogonal-${name}`);
  const tally = { agreed: 0, undecided: 0, rows: 0 };
  afterAll(() => {
    console.log(
      `${reference}: ${tally.agreed} agreed, ${tally.undecided} undecided, of ${tally.rows} rows on two paths`,
    );
  });

  it.each(
    sample(
      cases.map((one, i) => [i, one.name] as const),
      3,
    ),
  )(
    "case %i: %s",
    async (i) => {
      const fixture = cases[i]!;
      const { weights, codes, row, results } = await encode(fixture);
      const oracles = results.map((_, at) => orthogonalOracle(row(at), weights, budgetOf(fixture)));
      for (const [path, coded] of codes) {
        const verdicts = results.map((result, at) => compareSolved(solvedRow(coded, at), result, oracles[at]!));
        const faults = verdicts.flatMap((one, at) => (one.kind === "differs" ? `${path}, row ${at}: ${one.why}` : []));
        expect(faults).toEqual([]);
        tally.rows += verdicts.length;
        tally.agreed += verdicts.filter(({ kind }) => kind === "agreed").length;
        tally.undecided += verdicts.filter(({ kind }) => kind === "undecided").length;
      }
    },
    240_000,
  );
});

/**
 * SPAMS selects by another rule: the atom after whose selection the residual is smallest, s² over what of the atom the
 * support does not span, where orthogonal matching pursuit takes the largest |s| / ||D_j||. So a row may part from ours
 * at a step where the two rules name different atoms, and there alone; and on its own support its coefficients are ours.
 */
describe("fidelity to SPAMS", () => {
  const { reference, cases } = readFixture("orthogonal-spams");
  const tally = { agreed: 0, undecided: 0, parted: 0, rows: 0 };
  afterAll(() => {
    console.log(
      `${reference}: ${tally.agreed} agreed, ${tally.undecided} undecided, ${tally.parted} parted where its rule names another atom, of ${tally.rows} rows on two paths`,
    );
  });

  it.each(
    sample(
      cases.map((one, i) => [i, one.name] as const),
      2,
    ),
  )(
    "case %i: %s",
    async (i) => {
      const fixture = cases[i]!;
      const { weights, codes, row, results } = await encode(fixture);
      const { atoms, center, d } = weights;
      const atom = (j: number): Float64Array => new Float64Array(atoms.subarray(j * d, (j + 1) * d));
      for (const [path, coded] of codes) {
        for (const [at, result] of results.entries()) {
          const start = Float64Array.from(row(at), (value, c) => (center ? Math.fround(value - center[c]!) : value));
          const ours = solvedRow(coded, at);
          const largest = result.values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
          const onTheirs = leastSquares(result.indices.map(atom), start);
          for (const [k, value] of onTheirs.entries()) {
            expect(Math.abs(value - result.values[k]!), `row ${at}, coefficient ${k}`).toBeLessThan(1e-5 * largest);
          }
          tally.rows++;
          const shorter = Math.min(ours.indices.length, result.indices.length);
          const differing = result.indices.findIndex((j, k) => k < shorter && ours.indices[k] !== j);
          const parts = differing < 0 ? shorter : differing;
          if (differing < 0 && ours.indices.length === result.indices.length) {
            for (const [k, value] of ours.values.entries()) {
              expect(Math.abs(value - result.values[k]!), `${path}, row ${at}`).toBeLessThan(1e-5 * largest);
            }
            tally.agreed++;
            continue;
          }
          const support = result.indices.slice(0, parts).map(atom);
          const r = orthogonalised(start, support);
          if (Math.hypot(...r) < 1e-3 * Math.hypot(...start)) {
            expect(Math.abs(ours.residualNorm - result.residualNorm)).toBeLessThan(1e-3 * Math.hypot(...start));
            tally.undecided++;
            continue;
          }
          expect(differing, `${path}, row ${at}: one ends before the other`).toBeGreaterThanOrEqual(0);
          const scoreOf = (j: number): { plain: number; theirs: number } => {
            const product = Math.abs(atom(j).reduce((sum, value, c) => sum + value * r[c]!, 0));
            const free = orthogonalised(atom(j), support);
            return {
              plain: product / Math.hypot(...atom(j)),
              theirs: product / Math.hypot(...free),
            };
          };
          const [our, their] = [scoreOf(ours.indices[parts]!), scoreOf(result.indices[parts]!)];
          const margin = 1e-5 * our.plain;
          expect(our.plain, `${path}, row ${at}, step ${parts}: ours`).toBeGreaterThanOrEqual(their.plain - margin);
          expect(their.theirs, `${path}, row ${at}, step ${parts}: theirs`).toBeGreaterThanOrEqual(our.theirs - margin);
          tally.parted++;
        }
      }
    },
    240_000,
  );
});
