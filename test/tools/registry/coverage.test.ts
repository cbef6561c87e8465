/** The share of SAELens' registry that README states is the one that `npm run coverage` prints. */
import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { Registry } from "../../../src/engine/dictionaries/registry/registry.ts";
import { coverageLines, totalOf } from "../../../tools/registry/proofs.ts";
import { ONE_PASS_FIXTURES } from "../../support/one-pass-fixture.ts";

const { entries } = Registry.read();
const lines = coverageLines(entries);

it("counts every id once", () => {
  expect(lines.reduce((sum, { ids }) => sum + ids, 0)).toBe(entries.length);
});

// test/contract/one-pass-fidelity.test.ts runs all of them.
it("names fixtures that exist", () => {
  for (const { fixtures } of lines) {
    for (const fixture of fixtures) expect(ONE_PASS_FIXTURES).toContain(fixture);
  }
});

it("counts no id of a kind that is refused, or that no fixture proves", () => {
  expect(lines.filter(({ kind }) => kind === "temporal")).toMatchObject([{ ids: 3, fixtures: [] }]);
  expect(
    totalOf([
      { kind: "a", layout: "b", ids: 3, fixtures: [] },
      { kind: "c", layout: "b", ids: 1, fixtures: ["x"] },
    ]),
  ).toBe("1 of 4 ids, 25.00 %");
});

it("is the share that README states", () => {
  const readme = readFileSync(new URL("../../../README.md", import.meta.url), "utf8");
  expect(readme).toContain(`**${totalOf(lines)}**`);
  expect(readme).toContain("npm run coverage");
});
