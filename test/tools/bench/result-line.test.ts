import { describe, expect, it } from "vitest";
import { jsonText, type ResultLine, tableHead, tableLine } from "../../../tools/bench/result-line.ts";

const LINE: ResultLine = {
  d: 2304,
  m: 32768,
  steps: 85,
  batch: 128,
  path: "fused_residual",
  us_per_row: 123456.78,
  baseline: "torch.compile",
  baseline_us_per_row: 234567.89,
  baseline_batch: 1024,
  ratio: 1.9,
  goal: 30,
  roofline_us: 1234.56,
  roofline_share: 0.01,
};

describe("a line of the bench", () => {
  it("goes out as JSON with every field, unrounded", () => {
    const fields =
      "d m steps batch path us_per_row baseline baseline_us_per_row baseline_batch ratio goal roofline_us roofline_share";
    const parsed = JSON.parse(jsonText([LINE, { ...LINE, ratio: null }])) as ResultLine[];
    expect(Object.keys(parsed[0]!)).toEqual(fields.split(" "));
    expect(parsed).toEqual([LINE, { ...LINE, ratio: null }]);
  });

  it("stands below its head, column by column, however wide its figures are", () => {
    const head = tableHead();
    const line = tableLine(LINE);
    expect(line).toHaveLength(head.length);
    expect(line.trim().split(/ {2,}/)).toEqual(
      "2304 32768 85 128 fused_residual 123456.8 torch.compile 234567.9 1024 1.9 30 1234.6 0.01".split(" "),
    );
  });

  it("shows what is not known as a dash", () => {
    const unknown = { baseline: "none", baseline_us_per_row: null, baseline_batch: null, ratio: null } as const;
    const cells = tableLine({ ...LINE, ...unknown, roofline_us: null, roofline_share: null })
      .trim()
      .split(/ +/);
    expect(cells.slice(6)).toEqual(["none", "-", "-", "-", "30", "-", "-"]);
  });
});
