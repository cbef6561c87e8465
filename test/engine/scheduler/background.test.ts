import { expect, it } from "vitest";
import { Background, CoreLease } from "../../../src/engine/scheduler/core-lease.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { settle } from "../../support/queue-world.ts";

/** Milliseconds of the clock that each has had, requests beside so many that are at work in the background. */
async function share(dictionaries: number): Promise<{ requests: number; background: number }> {
  const clock = new FakeClock();
  const lease = new CoreLease(2, clock);
  const background = new Background(lease, 2, clock);
  const requests = lease.join({ running: () => 0, total: () => Infinity }, 2);
  const state = { stop: false };
  const used = { requests: 0, background: 0 };
  const run = (kind: keyof typeof used, milliseconds: number) => async () => {
    clock.advance(milliseconds);
    used[kind] += milliseconds;
    await settle();
  };
  const always = async (take: () => Promise<void>): Promise<void> => {
    while (!state.stop) await take();
  };
  requests.mayRequeue = () => !state.stop;
  const all = [
    always(() => requests.hold(run("requests", 20))),
    ...Array.from({ length: dictionaries }, () => always(() => background.turn(() => null, run("background", 10)))),
  ];
  while (clock.now() < 5000) await settle();
  expect(requests.delay(100)).toBe(125);
  state.stop = true;
  requests.release();
  await Promise.all(all);
  expect(requests.delay(100)).toBe(100);
  return used;
}

it.each([1, 4])("has a fifth of the time beside requests, however many are at work in it: %i", async (dictionaries) => {
  const { requests, background } = await share(dictionaries);
  expect(background / (requests + background)).toBeCloseTo(0.2, 1);
});

it("has all of the time where nobody else wants it, and goes on after what failed", async () => {
  const background = new Background(new CoreLease(2, new FakeClock()), 2, new FakeClock());
  await expect(
    background.turn(
      () => null,
      () => Promise.reject(new Error("broken")),
    ),
  ).rejects.toThrow("broken");
  expect(
    await background.turn(
      () => null,
      () => Promise.resolve("done"),
    ),
  ).toBe("done");
});
