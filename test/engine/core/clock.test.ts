import { spawnSync } from "node:child_process";
import { expect, it } from "vitest";
import { fromMachine, machineNow, pause } from "../../../src/engine/core/clock.ts";
import { FakeClock } from "../../support/fake-clock.ts";

it("a pause ends after its time, or when its signal is aborted, and leaves no timer", async () => {
  const clock = new FakeClock();
  const given = new AbortController();
  const [short, long] = [pause(clock, 10, given.signal), pause(clock, 1000, given.signal)];
  clock.advance(10);
  await short;
  given.abort();
  await long;
  expect(clock.pending).toBe(0);
  const late = pause(clock, 1000, given.signal);
  clock.advance(0);
  await late;
});

it("the machine's clock is one for all processes, and converts to this thread's", () => {
  const before = machineNow();
  const { stdout } = spawnSync(process.execPath, ["-p", "Number(process.hrtime.bigint()) / 1e6"], { encoding: "utf8" });
  expect(Number(stdout)).toBeGreaterThan(before);
  expect(Number(stdout)).toBeLessThan(machineNow());
  const now = performance.now();
  // Of a sum and its difference the last digits are lost.
  expect(fromMachine(machineNow())).toBeGreaterThan(now - 0.001);
});
