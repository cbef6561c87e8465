import { expect, test } from "vitest";
import { percentile } from "../../../load-tests/client/percentile.ts";
import { stagesOf } from "../../../load-tests/client/server-timing.ts";
import { answersTable, resultsPage, type Section } from "../../../load-tests/report/markdown.ts";

const section = (name: string, wrong: number): Section => ({
  scenario: { name, shows: "Something.", env: { PURSUIT_X: "1" } },
  finished: {
    sent: 10,
    lost: 1,
    tally: { rows: 320, wrong, undecided: 2, degraded: 0, faults: wrong > 0 ? ["row 3 differs"] : [] },
    outcome: {
      tables: [{ caption: "All of it.", head: ["a", "b"], lines: [["x", 1234.56]] }],
      figures: [{ what: "ratio", value: 3.2109, unit: "×", goal: "≥ 10", met: false, detail: "slow" }],
    },
  },
  chart: `${name}.svg`,
});

const machine = {
  cpu: "A CPU",
  cores: 2,
  memoryGiB: 24,
  node: "v20",
  commit: "abc",
  date: "2026-01-01 00:00",
  load: 0.5,
};

test("a page holds figures with their goals, what was checked in sum, and every table", () => {
  const page = resultsPage(machine, 8, [section("one", 0), section("two", 3)], "A note.");
  expect(page).toContain("A note.");
  expect(page).toContain("| ratio | 3.21 × | ≥ 10 × | **no** | slow |");
  expect(page).toContain("| **all** | 20 | 640 | 3 | 2 | 4 | 0 |");
  expect(page).toContain("- two: row 3 differs");
  expect(page).toContain("| x | 1235 |");
  expect(page).toContain("](one.svg)");
  expect(page).toContain("`PURSUIT_X=1`");
});

test("faults are named only where there are some", () => {
  expect(answersTable([section("one", 0)])).not.toContain("differs");
});

test("percentiles by nearest rank, and of nothing none", () => {
  const values = Array.from({ length: 100 }, (_, i) => 100 - i);
  expect([0, 0.5, 0.99, 1].map((share) => percentile(values, share))).toEqual([1, 50, 99, 100]);
  expect(percentile([], 0.5)).toBeNaN();
});

test("an answer without all of its stages is a fault", () => {
  expect(() => stagesOf("decode;dur=1, queue;dur=2, encode;dur=3, write;dur=4")).toThrow("nothing of total");
});
