import { execFileSync } from "node:child_process";
import { expect, it } from "vitest";

it("sets a flag that this V8 knows: it says nothing of one that it does not", () => {
  const options = execFileSync(process.execPath, ["--v8-options"], { encoding: "utf8", maxBuffer: 1 << 24 });
  expect(options).toMatch(/^\s+--heap-growing-percent /m);
});
