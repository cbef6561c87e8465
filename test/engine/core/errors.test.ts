import { expect, it } from "vitest";
import { EngineError } from "../../../src/engine/core/errors.ts";

it("takes no stack for a refusal, and for everything else as before", () => {
  const { stackTraceLimit } = Error;
  expect(new EngineError("PURSUIT_QUEUE_FULL", "Full.").stack).not.toContain("errors.test");
  expect(Error.stackTraceLimit).toBe(stackTraceLimit);
  expect(new EngineError("PURSUIT_TIMEOUT", "Late.").stack).toContain("errors.test");
});
