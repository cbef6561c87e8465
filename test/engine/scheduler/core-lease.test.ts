import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CoreLease } from "../../../src/engine/scheduler/core-lease.ts";

describe("CoreLease", () => {
  it("never lends more cores than there are, and serves in order", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 8 }),
        fc.array(fc.integer({ min: 1, max: 12 }), { maxLength: 20 }),
        async (total, wishes) => {
          const lease = new CoreLease(total);
          let held = 0;
          const order: number[] = [];
          await Promise.all(
            wishes.map((cores, i) =>
              lease.hold(cores, async () => {
                order.push(i);
                held += Math.min(cores, total);
                expect(held).toBeLessThanOrEqual(total);
                await new Promise((resolve) => setImmediate(resolve));
                held -= Math.min(cores, total);
              }),
            ),
          );
          expect(order).toEqual(wishes.map((_, i) => i));
        },
      ),
    );
  });

  it("gives the cores back when the holder fails", async () => {
    const lease = new CoreLease(1);
    await expect(lease.hold(1, () => Promise.reject(new Error("no")))).rejects.toThrow("no");
    expect(await lease.hold(1, () => Promise.resolve("free"))).toBe("free");
  });
});
