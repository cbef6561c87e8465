import { describe, expect, it } from "vitest";
import { nearestField } from "../../src/routes/error-handler.ts";
import { EncodeBodySchema } from "../../src/routes/v1/schemas.ts";
import { SteerBodySchema } from "../../src/routes/v1/steer-schemas.ts";

describe("nearestField", () => {
  it.each([
    ["", "max_atoms", "budget.max_atoms"],
    ["", "maxAtoms", "budget.max_atoms"],
    ["", "max_atom", "budget.max_atoms"],
    ["", "tolerence", "budget.tolerance"],
    ["", "bugdet", "budget"],
    ["", "input", "inputs"],
    ["", "dtype", "inputs.dtype"],
    ["", "time_out_ms", "timeout_ms"],
    ["budget", "timeout_ms", "timeout_ms"],
    ["budget", "maxatoms", "budget.max_atoms"],
    ["budget", "min-gain", "budget.min_gain"],
    ["inputs", "dtpye", "inputs.dtype"],
    ["", "colour", null],
    ["", "k", null],
    ["", "x".repeat(1_000_000), null],
    ["", "__proto__", null],
  ])("in %j takes %.20s for %s", (place, unknown, path) => {
    expect(nearestField(EncodeBodySchema, place, unknown)).toBe(path);
  });

  it("prefers a field of the same place, and finds those of edits", () => {
    expect(nearestField(SteerBodySchema, "edits", "row")).toBe("edits.rows");
    expect(nearestField(SteerBodySchema, "", "row")).toBe("rows");
    expect(nearestField(SteerBodySchema, "", "strength")).toBe("edits.strength");
  });
});
