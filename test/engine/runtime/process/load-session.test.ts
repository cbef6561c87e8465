import { Fault } from "../../../../src/engine/core/errors.ts";
import { describe, expect, it } from "vitest";
import { loadFailure } from "../../../../src/engine/runtime/process/load-session.ts";

describe("loadFailure", () => {
  it.each([
    "WebAssembly.Memory(): could not allocate memory",
    "Array buffer allocation failed",
    "std::bad_alloc",
    "Failed to allocate memory for requested buffer of size 1073741824",
  ])("tells that an allocation failed: %s", (message) => {
    expect(loadFailure(new RangeError(message))).toEqual({ faults: [message], cause: "memory" });
  });

  it("tells broken dictionaries, shortages and other faults apart", () => {
    const broken = new Fault("broken", ["atom 3 is zero.", "center is missing."]);
    expect(loadFailure(broken)).toEqual({ faults: broken.faults, cause: "broken" });
    const full = Object.assign(new Error("open"), { code: "EMFILE" });
    expect(loadFailure(full)).toMatchObject({ faults: [expect.stringContaining("EMFILE")], cause: "shortage" });
    expect(loadFailure(new TypeError("not a function"))).toEqual({ faults: ["not a function"], cause: "runtime" });
  });
});
