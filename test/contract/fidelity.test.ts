/**
 * Every path against the reference implementations' own answers (tools/fixtures/make.py), by the rules of
 * docs/algorithm.md, Agreement. Prints how many rows agreed, how many were undecided, of how many. The quick run takes a few
 * rows of each case.
 * With FIDELITY_RUNTIME=cuda on an NVIDIA GPU, by the paths that run there (tools/gpu).
 */
import { afterAll, describe, expect, it } from "vitest";
import { PURSUIT_PATHS } from "../../src/engine/core/dictionary.ts";
import { runsOn } from "../../src/engine/runtime/sessions/choose-path.ts";
import { createEncoderSession } from "../../src/engine/runtime/sessions/create-session.ts";
import { compare, pursuitOf } from "../support/agreement.ts";
import { batchOf } from "../support/batch.ts";
import { readFixture, sampledInputsOf } from "../support/fixture-data.ts";
import { normsAfter, oraclePursuit, pursuitSpace } from "../support/oracle.ts";

const RUNTIME = process.env["FIDELITY_RUNTIME"] === "cuda" ? "cuda" : "cpu";
const PATHS = PURSUIT_PATHS.filter((path) => runsOn(path, RUNTIME));

describe.each(["mp-sae", "sae-lens", "overcomplete"])("fidelity to %s", (name) => {
  const { reference, cases } = readFixture(name);
  const tallies = new Map(PATHS.map((path) => [path, { agreed: 0, undecided: 0, rows: 0 }]));
  afterAll(() => {
    for (const [path, { agreed, undecided, rows }] of tallies) {
      console.log(
        `${reference}, ${path} path on ${RUNTIME}: ${agreed} agreed, ${undecided} undecided, of ${rows} rows`,
      );
    }
  });

  it.each(cases.map((one, i) => [i, `${one.name} (${one.reselect})`] as const))(
    "case %i: %s",
    async (i) => {
      const fixture = cases[i]!;
      const { weights, rows, results: given } = await sampledInputsOf(fixture);
      const budget = { maxAtoms: fixture.steps };
      const starts = given.map((_, row) =>
        pursuitSpace(rows.subarray(row * fixture.d, (row + 1) * fixture.d), fixture.input_norm),
      );
      const oracles = starts.map((x) => oraclePursuit(x, weights, budget));
      const results = given.map((one, row) => ({ ...one, norms: normsAfter(starts[row]!, weights, one) }));
      for (const path of PATHS) {
        const session = await createEncoderSession(weights, { runtime: RUNTIME, path, threads: 1 });
        const codes = await session.encode(batchOf(rows, fixture.d, budget));
        await session.release();
        const verdicts = results.map((result, row) => compare(pursuitOf(codes, row), result, oracles[row]!));
        const faults = verdicts.flatMap((verdict, row) =>
          verdict.kind === "differs" ? `row ${row}: ${verdict.why}` : [],
        );
        expect(faults).toEqual([]);
        const tally = tallies.get(path)!;
        tally.rows += verdicts.length;
        tally.agreed += verdicts.filter(({ kind }) => kind === "agreed").length;
        tally.undecided += verdicts.filter(({ kind }) => kind === "undecided").length;
      }
    },
    240_000,
  );
});
