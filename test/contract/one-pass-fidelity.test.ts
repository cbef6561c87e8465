/**
 * One-pass dictionaries as their publishers save them (tools/fixtures/make_one_pass.py, make_published.py, make_layered.py), imported and
 * encoded, against the library's own codes and outputs. Prints how many rows agree, are undecided and differ.
 */
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { type SparseCodes, STOP_REASONS } from "../../src/engine/core/sparse-codes.ts";
import { batchOf } from "../support/batch.ts";
import {
  encodeFixture,
  FIXTURES,
  matrix,
  ONE_PASS_FIXTURES,
  readFixture,
  verdictsOf,
} from "../support/one-pass-fixture.ts";

const figures = new Map<string, { agreed: number; undecided: number; differs: number }>();
afterAll(() => {
  const lines = Array.from(
    figures,
    ([library, { agreed, undecided, differs }]) =>
      `| ${library} | ${agreed} | ${undecided} | ${differs} | ${agreed + undecided + differs} |`,
  );
  console.log(
    ["| library | agreed | undecided | differ | rows |", "| --- | ---: | ---: | ---: | ---: |", ...lines].join("\n"),
  );
});

it("finds the fixtures", () => expect(ONE_PASS_FIXTURES.length).toBeGreaterThanOrEqual(133));

describe.each(ONE_PASS_FIXTURES)("%s", async (name) => {
  const fixture = await readFixture(name);
  const { library, kind, role: itsRole, weights, groups, x, z, y } = fixture;
  const { dIn, d, m, role, tensors } = weights;
  const { session, codes } = await encodeFixture(fixture);
  afterAll(() => session.release());

  it("has the library's codes wherever float32 decides", () => checkCodes(codes, z));

  it("has the library's outputs", () => checkOutputs(codes, y));

  it.each(groups.filter((group) => group < m))(
    "has the library's codes and outputs of the first %i atoms",
    async (group) => {
      const [theirs, outputs] = await Promise.all(
        ["z", "y"].map((array) => matrix(join(FIXTURES, name, `${array}-${group}.npy`))),
      );
      const nested = await session.encode({ ...batchOf(x, dIn, { maxAtoms: m, group }), reconstruction: true });
      checkCodes(nested, theirs!);
      await checkOutputs(nested, outputs!);
    },
  );

  function checkCodes(given: SparseCodes, theirs: Float32Array): void {
    const seen = figures.get(library) ?? { agreed: 0, undecided: 0, differs: 0 };
    figures.set(library, seen);
    for (const [i, verdict] of verdictsOf(fixture, given, theirs).entries()) {
      seen[verdict.kind]++;
      expect(verdict.kind, `row ${i}: ${JSON.stringify(verdict)}`).not.toBe("differs");
      expect(STOP_REASONS[given.stops[i]!]).toBe("active_end");
    }
    expect(seen.agreed).toBeGreaterThan(0);
  }

  async function checkOutputs(given: SparseCodes, theirs: Float32Array): Promise<void> {
    const decoded = await session.decode({ ...given, ...("skip" in tensors && { inputs: x }) });
    for (let i = 0; i < given.stops.length; i++) {
      const row = theirs.subarray(i * d, (i + 1) * d);
      const largest = Math.max(1, ...row.map(Math.abs));
      for (const [c, value] of row.entries()) {
        expect(Math.abs(decoded[i * d + c]! - value)).toBeLessThanOrEqual(2e-5 * largest);
        expect(Math.abs(given.reconstruction![i * d + c]! - value)).toBeLessThanOrEqual(2e-5 * largest);
      }
    }
  }

  it("is of the kind that its publisher has and the role that its folder says", () => {
    if (kind !== undefined) expect(weights.kind).toBe(kind);
    expect(role).toBe(itsRole ?? (/transcoder/.test(name) ? "transcoder" : "autoencoder"));
  });
});
