import { describe, expect, it } from "vitest";
import { EngineError, shortageOf } from "../../../src/engine/core/errors.ts";

it("takes no stack for a refusal, and for everything else as before", () => {
  const { stackTraceLimit } = Error;
  expect(new EngineError("PURSUIT_QUEUE_FULL", "Full.").stack).not.toContain("errors.test");
  expect(Error.stackTraceLimit).toBe(stackTraceLimit);
  expect(new EngineError("PURSUIT_TIMEOUT", "Late.").stack).toContain("errors.test");
});

describe("shortageOf", () => {
  it.each([
    [Object.assign(new Error("spawn node EMFILE"), { code: "EMFILE" }), /descriptor.*ulimit -n/],
    [Object.assign(new Error("spawn ENOMEM"), { code: "ENOMEM" }), /memory/],
    // As Node says that a thread did not start, and as ONNX Runtime does.
    [
      Object.assign(new Error("Worker initialization failure: EAGAIN"), { code: "ERR_WORKER_INIT_FAILED" }),
      /thread.*ulimit -u/,
    ],
    [new Error("pthread_create failed, error code: 11 error msg: Resource temporarily unavailable"), /thread/],
  ])("names what is missing and the limit to raise: %s", (error, words) => {
    expect(shortageOf(error)).toMatch(words);
  });

  it.each([Object.assign(new Error("no such file"), { code: "ENOENT" }), new Error("EMFILED"), "EMFILE", undefined])(
    "is null for another fault: %s",
    (fault) => {
      expect(shortageOf(fault)).toBeNull();
    },
  );
});
