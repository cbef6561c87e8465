/**
 * Prints which share of SAELens' registry is served, by kind and layout: `npm run coverage`. An id counts where its kind and layout
 * have a fixture, and that fixture is imported and encoded here with codes that agree with the library's own. Exits 1 where one
 * does not.
 */
import { Registry } from "../../src/engine/dictionaries/registry/registry.ts";
import { encodeFixture, readFixture, verdictsOf } from "../../test/support/one-pass-fixture.ts";
import { type CoverageLine, coverageLines, totalOf } from "./proofs.ts";

const { entries, source } = Registry.read();
const lines = coverageLines(entries);
const failed = new Set<string>();
for (const fixture of new Set(lines.flatMap(({ fixtures }) => fixtures))) {
  if (!(await passes(fixture))) failed.add(fixture);
}
const proven = lines.map((line): CoverageLine =>
  line.fixtures.some((one) => failed.has(one)) ? { ...line, fixtures: [] } : line,
);
console.log(`| kind | layout | ids | share | fixture of test/fixtures |\n| --- | --- | ---: | ---: | --- |`);
for (const { kind, layout, ids, fixtures } of proven) {
  console.log(
    `| ${kind} | ${layout} | ${ids} | ${((ids / entries.length) * 100).toFixed(2)} % | ${fixtures.join(", ") || "none"} |`,
  );
}
console.log(`\n${totalOf(proven)} of ${source}'s registry are of a kind and layout with a passing fixture.`);
console.log("No published file could be opened here: the fixtures are small dictionaries that tools/fixtures makes.");
for (const fixture of failed) console.error(`${fixture} does not agree with its library's codes.`);
process.exitCode = failed.size > 0 ? 1 : 0;

async function passes(name: string): Promise<boolean> {
  const fixture = await readFixture(name);
  const { session, codes } = await encodeFixture(fixture);
  await session.release();
  const verdicts = verdictsOf(fixture, codes, fixture.z);
  return verdicts.some(({ kind }) => kind === "agreed") && verdicts.every(({ kind }) => kind !== "differs");
}
