import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { overdueAfter } from "../../../src/engine/core/clock.ts";
import { CoreLease, type CoreClient } from "../../../src/engine/scheduler/core-lease.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { createGate } from "../../support/gate.ts";
import { holdCores } from "../../support/hold-cores.ts";
import { settle } from "../../support/queue-world.ts";

const NO_BACKLOG = { running: () => 0, total: () => 0 };

describe("CoreLease", () => {
  it("never lends more cores than there are, and serves one client in order of arrival", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 8 }),
        fc.array(fc.integer({ min: 1, max: 12 }), { maxLength: 20 }),
        async (total, requests) => {
          const lease = new CoreLease(total, new FakeClock());
          let held = 0;
          const order: number[] = [];
          await Promise.all(
            requests.map((cores, i) =>
              holdCores(lease, cores, async () => {
                order.push(i);
                held += Math.min(cores, total);
                expect(held).toBeLessThanOrEqual(total);
                await new Promise((resolve) => setImmediate(resolve));
                held -= Math.min(cores, total);
              }),
            ),
          );
          expect(order).toEqual(requests.map((_, i) => i));
        },
      ),
    );
  });

  it("adds up the time that turns hold cores, a turn under way included, apart from background work", async () => {
    const clock = new FakeClock();
    const lease = new CoreLease(4, clock);
    const requests = lease.join(NO_BACKLOG, 2);
    const background = lease.join(NO_BACKLOG, 1, 1 / 4);
    expect(lease.busyTime).toEqual({ requests: 0, background: 0 });
    await requests.hold(async () => {
      clock.advance(100);
      expect(lease.busyTime).toEqual({ requests: 200, background: 0 });
      await background.hold(async () => clock.advance(50));
    });
    clock.advance(1000);
    expect(lease.busyTime).toEqual({ requests: 300, background: 50 });
  });

  it("does not count an overdue turn: its cores are lent to others", async () => {
    const clock = new FakeClock();
    const lease = new CoreLease(1, clock);
    const hung = lease.join(NO_BACKLOG, 1);
    await hung.hold(async () => clock.advance(overdueAfter(10) + 5_000), 10);
    expect(lease.busyTime.requests).toBe(overdueAfter(10));
  });

  it("gives the cores back when the client fails", async () => {
    const lease = new CoreLease(1, new FakeClock());
    await expect(holdCores(lease, 1, () => Promise.reject(new Error("no")))).rejects.toThrow("no");
    expect(await holdCores(lease, 1, () => Promise.resolve("free"))).toBe("free");
  });

  it("shares time, not turns: a client with long runs gets no more of it than those of short ones", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 2, maxLength: 5 }), async (lengths) => {
        const clock = new FakeClock();
        const lease = new CoreLease(2, clock);
        const used = lengths.map(() => 0);
        const state = { stop: false };
        const always = async (holder: CoreClient, i: number): Promise<void> => {
          holder.mayRequeue = () => !state.stop;
          while (!state.stop) {
            await holder.hold(async () => {
              clock.advance(lengths[i]!);
              used[i]! += lengths[i]!;
              await settle();
            });
          }
        };
        const holders = lengths.map(() => lease.join(NO_BACKLOG, 2));
        const all = holders.map(always);
        while (clock.now() < 50 * 50) await settle();
        state.stop = true;
        for (const holder of holders) holder.release();
        const apart = Math.max(...used) - Math.min(...used);
        await Promise.all(all);
        // Start-time fair queueing: two that always requeue differ by one run of each at most.
        expect(apart).toBeLessThanOrEqual(2 * Math.max(...lengths));
      }),
      { numRuns: 20 },
    );
  });

  it("is busy while requests hold cores, not while background work does, nor a turn that lost them", async () => {
    const clock = new FakeClock();
    const lease = new CoreLease(2, clock);
    const [requests, background] = [lease.join(NO_BACKLOG, 1), lease.join(NO_BACKLOG, 1, 1 / 4)];
    const [first, second] = [createGate(), createGate()];
    const works = background.hold(() => first.passed);
    await settle();
    expect(lease.busy).toBe(false);
    const runs = requests.hold(() => second.passed, 10);
    await settle();
    expect(lease.busy).toBe(true);
    clock.advance(overdueAfter(10));
    expect(lease.busy).toBe(false);
    first.open();
    second.open();
    await Promise.all([works, runs]);
    expect(lease.busy).toBe(false);
  });

  it("lets nobody save up: one that was idle starts level with the others", async () => {
    const clock = new FakeClock();
    const lease = new CoreLease(1, clock);
    const busy = lease.join(NO_BACKLOG, 1);
    const idle = lease.join(NO_BACKLOG, 1);
    for (let i = 0; i < 10; i++) await busy.hold(async () => clock.advance(10));
    const order: string[] = [];
    const run = (holder: CoreClient, name: string): Promise<void> =>
      holder.hold(async () => {
        order.push(name);
        clock.advance(10);
        await settle();
      });
    await Promise.all([1, 2, 3, 4].flatMap(() => [run(idle, "idle"), run(busy, "busy")]));
    // Without the level it would have had all four of its runs first. It is one run ahead: the busy one's last is its own.
    expect(order.slice(0, 3)).toContain("busy");
  });

  it("does not let narrow requests overtake a wide one whose turn it is", async () => {
    const clock = new FakeClock();
    const lease = new CoreLease(2, clock);
    const order: string[] = [];
    const ends: (() => void)[] = [];
    const run = (holder: CoreClient, name: string): Promise<void> =>
      holder.hold(() => {
        order.push(name);
        return new Promise((end) => ends.push(end));
      });
    const [a, b, wide] = [1, 1, 2].map((cores) => lease.join(NO_BACKLOG, cores)) as [
      CoreClient,
      CoreClient,
      CoreClient,
    ];
    const all = [run(a, "a"), run(wide, "wide")];
    await settle();
    clock.advance(1);
    all.push(run(b, "b"));
    await settle();
    // b shares the level of wide, which came first; a core is free, and kept for it.
    expect(order).toEqual(["a"]);
    ends[0]!();
    await settle();
    expect(order).toEqual(["a", "wide"]);
    ends[1]!();
    await settle();
    ends[2]!();
    await Promise.all(all);
    expect(order).toEqual(["a", "wide", "b"]);
  });

  it("predicts a delay by what others have, and by no more than their turns", () => {
    const lease = new CoreLease(2, new FakeClock());
    const mine = lease.join({ running: () => 0, total: () => 999 }, 2);
    lease.join({ running: () => 0, total: () => 30 }, 2);
    const other = lease.join({ running: () => 8, total: () => 500 }, 1);
    expect(mine.delay(100)).toBe(100 + 30 + 50);
    expect(mine.delay(0)).toBe(4);
    other.leave();
    expect(mine.delay(100)).toBe(130);
  });

  it("takes the cores from a turn that is long overdue, once, and gives them to the others meanwhile", async () => {
    const clock = new FakeClock();
    const lease = new CoreLease(2, clock);
    const [hung, other] = [lease.join({ running: () => 50, total: () => 50 }, 2), lease.join(NO_BACKLOG, 2)];
    const stuck = createGate();
    const turn = hung.hold(() => stuck.passed, 10);
    let served = false;
    const waiting = other.hold(() => Promise.resolve((served = true)));
    await settle();
    expect(other.delay(100)).toBe(150);
    clock.advance(overdueAfter(10) - 1);
    await settle();
    expect(served).toBe(false);
    clock.advance(1);
    await waiting;
    expect(served).toBe(true);
    // What waits behind it does not count on cores that it shares.
    expect(other.delay(100)).toBe(100);
    stuck.open();
    await turn;
    // Two cores are there again, not four: the next two turns come one after the other.
    const first = createGate();
    const one = hung.hold(() => first.passed);
    served = false;
    const two = other.hold(() => Promise.resolve((served = true)));
    await settle();
    expect(served).toBe(false);
    first.open();
    await Promise.all([one, two]);
    expect(clock.pending).toBe(0);
  });

  it("counts a turn's time anew with each run in it", async () => {
    const clock = new FakeClock();
    const lease = new CoreLease(1, clock);
    const [long, other] = [lease.join(NO_BACKLOG, 1), lease.join(NO_BACKLOG, 1)];
    const stuck = createGate();
    let expect1000!: () => void;
    const turn = long.hold(({ expect: expected }) => {
      expect1000 = () => expected(1000);
      return stuck.passed;
    });
    let served = false;
    const waiting = other.hold(() => Promise.resolve((served = true)));
    await settle();
    clock.advance(overdueAfter(0) - 1);
    expect1000();
    clock.advance(overdueAfter(1000) - 1);
    await settle();
    expect(served).toBe(false);
    clock.advance(1);
    await waiting;
    stuck.open();
    await turn;
  });
});
