import { expect, it } from "vitest";
import { pause } from "../../../src/engine/core/clock.ts";
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
