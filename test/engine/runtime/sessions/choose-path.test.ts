import { expect, it } from "vitest";
import { choosePath, runsOn } from "../../../../src/engine/runtime/sessions/choose-path.ts";

it("takes the Gram matrix as long as its m² float32 stay within the limit, in the kernel on CPU and the graph on CUDA", () => {
  const choices = [
    [8, 256],
    [8, 255],
    [1, 0],
    [1_048_576, 2 ** 30],
  ].map(([m, gramLimit]) =>
    (["cpu", "cuda"] as const).map((runtime) => choosePath(m!, { runtime, gramLimit: gramLimit! })),
  );
  expect(choices).toEqual([
    ["fused", "gram"],
    ["residual", "residual"],
    ["residual", "residual"],
    ["residual", "residual"],
  ]);
});

it("knows the kernel for the CPU's", () => {
  expect((["fused", "fused_residual", "gram", "residual"] as const).filter((path) => runsOn(path, "cuda"))).toEqual([
    "gram",
    "residual",
  ]);
});
