/** `pursuit search` by the built command line. */
import { expect, it } from "vitest";
import { callCli } from "../support/call-cli.ts";

it("prints name, kind, layout, place and the pull line, and how many there are", async () => {
  const { code, stdout } = await callCli([
    "search",
    "gemma",
    "2b",
    "canonical",
    "layer",
    "12",
    "16k",
    "residual",
    "--limit",
    "2",
  ]);
  expect([code, stdout]).toEqual([
    0,
    expect.stringMatching(
      /^gemma-scope-2b-pt-res-canonical\/layer_12\/width_16k\/canonical\n {2}jumprelu, Gemma Scope 1 \(params\.npz\)\n {2}residual stream, layer 12 of gemma-2-2b, 16k atoms\n {2}npx pursuit pull gemma-scope-2b-pt-res-canonical\/layer_12\/width_16k\/canonical\n/,
    ),
  ]);
  expect(stdout).toMatch(/of \d+ found in sae-lens 6\.54\.12\./);
});

it("prints the same as JSON, with the reason where a dictionary is not served", async () => {
  const { stdout } = await callCli(["search", "temporal", "gemma", "--json"]);
  expect(JSON.parse(stdout)).toEqual([
    expect.objectContaining({
      name: "temporal-sae-gemma-2-2b/blocks.12.hook_resid_post",
      kind: "temporal",
      served: false,
      reason: expect.stringContaining("SAELens") as string,
    }),
  ]);
});

it("exits 1 where nothing has all of the words", async () => {
  const { code, stdout } = await callCli(["search", "gemma", "qqqqqqq"]);
  expect([code, stdout]).toEqual([1, expect.stringContaining("Take one away")]);
});
