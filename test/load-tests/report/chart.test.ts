import { expect, test } from "vitest";
import { chart } from "../../../load-tests/report/chart.ts";

const points = [100, 200, 300].map((offered) => ({
  offered,
  throughput: offered * 0.9,
  p50: offered / 50,
  p99: offered / 5,
}));

test("each series has a line and a mark a point in each of three panels", () => {
  const svg = chart("load & <latency>", [
    { name: "JSON", points },
    { name: "binary", points },
  ]);
  expect(svg).toContain("load &amp; &lt;latency&gt;");
  expect(svg.match(/<path /g)).toHaveLength(6);
  // One more of each in the legend.
  expect(svg.match(/<circle /g)).toHaveLength(10);
  expect(svg).not.toMatch(/NaN|Infinity|undefined/);
});

test("a load under which nothing was answered leaves no mark", () => {
  const svg = chart("t", [{ name: "a", points: [...points, { offered: 400, throughput: 0, p50: NaN, p99: NaN }] }]);
  expect(svg).not.toMatch(/NaN|Infinity/);
});
