import { describe, expect, it } from "vitest";
import { inTurn, median } from "../../../tools/bench/in-turn.ts";

describe("inTurn", () => {
  it("measures everybody once a round, one at a time, every other round backwards", async () => {
    const order: string[] = [];
    let running = 0;
    const contestant = (name: string): { name: string; measure: () => Promise<number> } => ({
      name,
      measure: async () => {
        expect(++running).toBe(1);
        await Promise.resolve();
        order.push(name);
        running--;
        return order.length;
      },
    });
    const figures = await inTurn(["ours", "dense", "baseline"].map(contestant), 3);
    expect(order).toEqual(["ours", "dense", "baseline", "baseline", "dense", "ours", "ours", "dense", "baseline"]);
    expect(figures.get("ours")).toEqual([1, 6, 7]);
    expect(figures.get("baseline")).toEqual([3, 4, 9]);
  });

  it("refuses two of one name, whose figures would mix", async () => {
    const measure = (): Promise<number> => Promise.resolve(1);
    await expect(
      inTurn(
        [
          { name: "a", measure },
          { name: "a", measure },
        ],
        1,
      ),
    ).rejects.toThrow("one name");
  });
});

describe("median", () => {
  it("is a value that was measured, whatever the order", () => {
    expect(median([9, 1, 5])).toBe(5);
    expect(median([4, 1])).toBe(4);
    expect(() => median([])).toThrow("nothing");
  });
});
