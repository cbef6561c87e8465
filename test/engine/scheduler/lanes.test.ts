import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Lane } from "../../../src/engine/scheduler/lanes.ts";
import type { Entry, Work } from "../../../src/engine/scheduler/work.ts";

type Waiting = Entry<Work, number>;

/** As much of an entry as a lane touches. */
const entryOf = (count: number): Waiting => {
  const cost = { full: count * 2, least: count };
  return { work: { count }, taken: 0, cost, place: null, dispatch() {} } as unknown as Waiting;
};

type Step =
  | { readonly do: "add"; readonly rows: number }
  | { readonly do: "hand"; readonly rows: number }
  | { readonly do: "remove"; readonly which: number };

describe("a lane", () => {
  it("is a queue out of which anything may be taken, like a list", () => {
    const rows = fc.integer({ min: 1, max: 4 });
    const step: fc.Arbitrary<Step> = fc.oneof(
      { weight: 5, arbitrary: fc.record({ do: fc.constant("add" as const), rows }) },
      { weight: 2, arbitrary: fc.record({ do: fc.constant("hand" as const), rows }) },
      { weight: 2, arbitrary: fc.record({ do: fc.constant("remove" as const), which: fc.nat() }) },
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 600 }), (steps) => {
        const lane = new Lane<Work, number>();
        const list: Waiting[] = [];
        const seen: Waiting[] = [];
        for (const one of steps) {
          const [head] = list;
          if (one.do === "add") {
            const entry = entryOf(one.rows);
            lane.add(entry);
            list.push(entry);
            seen.push(entry);
          } else if (one.do === "hand" && head !== undefined) {
            const left = head.work.count - head.taken;
            lane.hand(head, Math.min(one.rows, left), 1);
            if (head.taken === head.work.count) list.shift();
          } else if (one.do === "remove" && seen.length > 0) {
            const entry = seen[one.which % seen.length]!;
            const at = list.indexOf(entry);
            expect(lane.remove(entry)).toBe(at < 0 ? 0 : entry.work.count - entry.taken);
            if (at >= 0) list.splice(at, 1);
          }
          expect(lane.head).toBe(list[0]);
          const waiting = list.reduce((sum, entry) => sum + entry.work.count - entry.taken, 0);
          expect([lane.rows, lane.full, lane.least]).toEqual([
            waiting,
            expect.closeTo(2 * waiting, 6),
            expect.closeTo(waiting, 6),
          ]);
          const priced: Waiting[] = [];
          lane.reprice((entry) => priced.push(entry));
          expect(priced).toEqual(list);
        }
      }),
      { seed: 1, numRuns: 50 },
    );
  });

  it("keeps in order over far more entries than it holds at once", () => {
    const lane = new Lane<Work, number>();
    const list: Waiting[] = [];
    for (let i = 0; i < 5000; i++) {
      const entry = entryOf(1);
      lane.add(entry);
      list.push(entry);
      if (i % 10 < 9) lane.remove(list.splice((i * 7) % list.length, 1)[0]!);
      expect(lane.head).toBe(list[0]);
    }
    while (list.length > 0) {
      expect(lane.head).toBe(list[0]);
      lane.remove(list.shift()!);
    }
    expect([lane.head, lane.rows]).toEqual([undefined, 0]);
  });
});
