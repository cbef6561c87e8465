import { describe, expect, it } from "vitest";
import { MemoryLedger, type MemoryNeeds, MemoryRefused } from "../../../src/engine/scheduler/memory-ledger.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { settle } from "../../support/queue-world.ts";

/** A ledger of 100 bytes, of which 20 are the server's. */
function setup(fixed: MemoryNeeds = { server: 15, requests: 5 }) {
  const clock = new FakeClock();
  return { clock, ledger: new MemoryLedger(100, fixed, clock) };
}

/** What becomes of a promise, as far as it is known. */
function watch<T>(promise: Promise<T>): { outcome: T | Error | "waits" } {
  const seen: { outcome: T | Error | "waits" } = { outcome: "waits" };
  promise.then(
    (value) => (seen.outcome = value),
    (error: Error) => (seen.outcome = error),
  );
  return seen;
}

describe("MemoryLedger", () => {
  it("counts fixed uses and claims against the limit, by use", async () => {
    const { ledger } = setup();
    expect([ledger.allowed, ledger.free]).toEqual([80, 80]);
    const claim = await ledger.claim({ runtime: 30, text: 10 });
    expect(ledger.free).toBe(40);
    expect(claim.grow("gram", 40)).toBe(true);
    expect(claim.grow("gram", 1)).toBe(false);
    expect([ledger.free, ledger.held]).toEqual([0, { server: 15, requests: 5, text: 10, runtime: 30, gram: 40 }]);
    claim.drop("gram");
    expect(ledger.free).toBe(40);
    claim.release();
    claim.release();
    expect([ledger.free, ledger.held.runtime]).toEqual([80, 0]);
  });

  it("refuses at once what can never fit, with both numbers", async () => {
    const { ledger } = setup();
    const refused = ledger.claim({ runtime: 70, text: 11 });
    await expect(refused).rejects.toBeInstanceOf(MemoryRefused);
    await expect(refused).rejects.toMatchObject({ needed: 81, allowed: 80, free: 80 });
    expect((await ledger.claim({ runtime: 80 })).uses).toEqual({ runtime: 80 });
  });

  it("lets a claim wait while another is an estimate, and grants it once the measured bytes leave room", async () => {
    const { ledger } = setup();
    const first = await ledger.claim({ runtime: 60 });
    const second = watch(ledger.claim({ runtime: 40 }));
    await settle();
    expect(second.outcome).toBe("waits");
    first.measured(() => 35);
    await settle();
    expect(second.outcome).toMatchObject({ uses: { runtime: 40 } });
    expect(ledger.free).toBe(5);
  });

  it("refuses a claim that waits once nothing is left that may shrink", async () => {
    const { ledger } = setup();
    const [first, second] = [await ledger.claim({ runtime: 30 }), await ledger.claim({ runtime: 30 })];
    const third = watch(ledger.claim({ runtime: 40 }));
    first.measured(() => 30);
    await settle();
    expect(third.outcome).toBe("waits");
    second.measured(() => 28);
    await settle();
    expect(third.outcome).toMatchObject({ needed: 40, free: 22, allowed: 80 });
    // And at once, where everything is measured already.
    await expect(ledger.claim({ runtime: 40 })).rejects.toMatchObject({ needed: 40, free: 22 });
    first.release();
    expect((await ledger.claim({ runtime: 40 })).estimated).toBe(true);
  });

  it("grants what fits to claims behind one that does not", async () => {
    const { ledger } = setup();
    const first = await ledger.claim({ runtime: 50 });
    const [large, small] = [watch(ledger.claim({ runtime: 60 })), watch(ledger.claim({ runtime: 30 }))];
    await settle();
    expect([large.outcome, small.outcome]).toEqual(["waits", expect.objectContaining({ uses: { runtime: 30 } })]);
    first.release();
    await settle();
    expect(large.outcome).toBe("waits");
  });

  it("gives no room away that a waiting claim needs", async () => {
    const { ledger } = setup();
    const first = await ledger.claim({ runtime: 50 });
    const second = watch(ledger.claim({ runtime: 40 }));
    expect(first.grow("gram", 10)).toBe(false);
    first.measured(() => 30);
    await settle();
    expect(second.outcome).toMatchObject({ uses: { runtime: 40 } });
    expect([first.grow("gram", 11), first.grow("gram", 10)]).toEqual([false, true]);
  });

  it("measures anew when the last time is a second ago, and keeps the figure where the system does not say", async () => {
    const { ledger, clock } = setup();
    const claim = await ledger.claim({ runtime: 10 });
    let now: number | null = 20;
    claim.measured(() => now);
    expect(ledger.free).toBe(60);
    now = 90;
    clock.advance(999);
    expect(ledger.free).toBe(60);
    clock.advance(1);
    expect(ledger.free).toBe(-10);
    now = null;
    clock.advance(1_000);
    expect(ledger.free).toBe(-10);
  });

  it("allows nothing where the fixed uses pass the limit", async () => {
    const { ledger } = setup({ server: 128 });
    expect(ledger.allowed).toBe(0);
    await expect(ledger.claim({ runtime: 1 })).rejects.toMatchObject({ needed: 1, allowed: 0 });
  });
});
