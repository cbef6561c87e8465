import { expect, it } from "vitest";
import { CoreLease } from "../../../src/engine/scheduler/core-lease.ts";
import { UnbatchedCalls } from "../../../src/engine/scheduler/unbatched-calls.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { createGate } from "../../support/gate.ts";
import { holdCores } from "../../support/hold-cores.ts";
import { settle } from "../../support/queue-world.ts";
import { Restarts } from "../../support/restarts.ts";

function setup() {
  const clock = new FakeClock();
  const lease = new CoreLease(1, clock);
  const shed: string[] = [];
  const restarts = new Restarts();
  const calls = new UnbatchedCalls({
    lease,
    cores: 1,
    clock,
    maxWaitMs: 10,
    onShed: (reason) => shed.push(reason),
    ready: restarts.ready,
  });
  return { calls, clock, lease, shed, restart: () => restarts.begin() };
}

it("makes calls one after another, and refuses those that would wait too long", async () => {
  const { calls, clock, shed } = setup();
  const made: string[] = [];
  const take = (name: string, milliseconds: number) => () => {
    made.push(name);
    return new Promise<string>((resolve) => void clock.after(milliseconds, () => resolve(name)));
  };
  const first = calls.run(take("a", 8));
  const second = calls.run(take("b", 8));
  await settle();
  expect(made).toEqual(["a"]);
  clock.advance(8);
  expect(await first).toBe("a");
  await settle();
  expect(made).toEqual(["a", "b"]);
  const third = calls.run(take("c", 8));
  await expect(calls.run(take("d", 8))).rejects.toMatchObject({ code: "PURSUIT_QUEUE_FULL", retryAfter: 0.006 });
  expect(shed).toEqual(["queue_full"]);
  clock.advance(8);
  await settle();
  clock.advance(8);
  expect([await second, await third]).toEqual(["b", "c"]);
});

it("holds no cores while what is called restarts, and passes its faults on", async () => {
  const { calls, lease, restart } = setup();
  const restarted = restart();
  let made = 0;
  const call = calls.run(() => Promise.resolve(++made));
  await settle();
  await holdCores(lease, 1, () => Promise.resolve());
  expect(made).toBe(0);
  restarted();
  expect(await call).toBe(1);
  await expect(calls.run(() => Promise.reject(new Error("broken")))).rejects.toThrow("broken");
  expect(await calls.run(() => Promise.resolve("next"))).toBe("next");
});

it("gives its turn up when what is called ends before it begins", async () => {
  const { calls, lease, restart } = setup();
  const held = createGate();
  const holding = holdCores(lease, 1, () => held.passed);
  let made = 0;
  const call = calls.run(() => Promise.resolve(++made));
  await settle();
  const restarted = restart();
  held.open();
  await holding;
  await holdCores(lease, 1, () => Promise.resolve());
  expect(made).toBe(0);
  restarted();
  expect(await call).toBe(1);
});
