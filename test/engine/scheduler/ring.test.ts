import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Ring } from "../../../src/engine/scheduler/ring.ts";

type Step = { readonly do: "push" } | { readonly do: "shift" } | { readonly do: "remove"; readonly which: number };

describe("Ring", () => {
  it("is a queue out of which anything may be taken, like a list", () => {
    const step: fc.Arbitrary<Step> = fc.oneof(
      { weight: 5, arbitrary: fc.constant({ do: "push" } as const) },
      { weight: 2, arbitrary: fc.constant({ do: "shift" } as const) },
      { weight: 2, arbitrary: fc.record({ do: fc.constant("remove" as const), which: fc.nat() }) },
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 600 }), (steps) => {
        const ring = new Ring<{ readonly name: number }>();
        const list: { item: { name: number }; ticket: number }[] = [];
        const tickets: number[] = [];
        for (const [name, one] of steps.entries()) {
          if (one.do === "push") {
            const item = { name };
            const ticket = ring.push(item);
            list.push({ item, ticket });
            tickets.push(ticket);
          } else if (one.do === "shift") {
            expect(ring.shift()).toBe(list.shift()?.item);
          } else if (tickets.length > 0) {
            const ticket = tickets[one.which % tickets.length]!;
            const at = list.findIndex((entry) => entry.ticket === ticket);
            expect(ring.remove(ticket)).toBe(at >= 0);
            if (at >= 0) list.splice(at, 1);
          }
          expect([...ring]).toEqual(list.map(({ item }) => item));
          expect(ring.size).toBe(list.length);
          expect(ring.peek()).toBe(list[0]?.item);
        }
      }),
    );
  });
});
