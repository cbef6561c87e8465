import { describe, expect, it } from "vitest";
import { ByteLedger, ReleaseRate } from "../../src/routes/byte-ledger.ts";

describe("a claim", () => {
  it("holds what fits, gives back what it no longer needs, and all at its end", () => {
    const ledger = new ByteLedger(100);
    const [one, other] = [ledger.open(), ledger.open()];
    expect([one.resize(60), other.resize(50), ledger.held]).toEqual([true, false, 60]);
    expect([one.resize(40), other.resize(50), ledger.held]).toEqual([true, true, 90]);
    one.release();
    one.release();
    expect([ledger.held, one.bytes]).toEqual([50, 0]);
  });

  it("claims nothing once it was released: nobody would give it back", () => {
    const ledger = new ByteLedger(100);
    const claim = ledger.open();
    claim.release();
    expect(claim.resize(10)).toBe(false);
    claim.set(10);
    expect(ledger.held).toBe(0);
  });

  it("may be set past the limit, and then nothing more fits", () => {
    const ledger = new ByteLedger(100);
    const [one, other] = [ledger.open(), ledger.open()];
    one.set(150);
    expect([ledger.held, other.resize(1), other.resize(0)]).toEqual([150, false, true]);
  });

  it("of a large holder leaves an eighth to small ones", () => {
    const limit = 8 << 20;
    const ledger = new ByteLedger(limit);
    const large = ledger.open();
    expect(large.resize(limit)).toBe(false);
    expect(large.resize((limit / 8) * 7)).toBe(true);
    // Whatever it takes at once, a holder that is going to be large is one.
    expect(ledger.open().resize(1, limit)).toBe(false);
    expect(Array.from({ length: 17 }, () => ledger.open().resize(65_536))).toEqual([...Array(16).fill(true), false]);
  });
});

describe("ReleaseRate", () => {
  it("forgets, and guesses a second where it has seen nothing of late", () => {
    let now = 0;
    const rate = new ReleaseRate(() => now);
    expect(rate.untilReleased(5)).toBe(1000);
    rate.released(1000);
    expect(rate.untilReleased(500)).toBeCloseTo(500);
    now += 1000;
    expect(rate.untilReleased(500)).toBeCloseTo(500 * Math.E);
    now += 1000;
    expect(rate.untilReleased(1e9)).toBe(60_000);
    now += 100_000;
    expect(rate.untilReleased(500)).toBe(1000);
  });
});
