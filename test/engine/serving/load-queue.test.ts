import { describe, expect, it } from "vitest";
import { LoadQueue } from "../../../src/engine/serving/load-queue.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { createGate } from "../../support/gate.ts";
import { settle } from "../../support/queue-world.ts";

function setup(parallel: () => number) {
  const clock = new FakeClock();
  const lines: string[] = [];
  const began: string[] = [];
  const queue = new LoadQueue({ clock, parallel, log: (_level, message) => void lines.push(message) });
  /** A load that ends when its gate is opened. */
  const load = (name: string): { readonly end: () => void; readonly ended: Promise<unknown> } => {
    const gate = createGate();
    const ended = queue.run(name, async () => {
      began.push(name);
      await gate.passed;
    });
    return { end: () => gate.open(), ended };
  };
  return { clock, lines, began, queue, load };
}

describe("LoadQueue", () => {
  it("runs as many loads at a time as the rule says, in order of coming", async () => {
    const { began, load } = setup(() => 2);
    const loads = ["a", "b", "c", "d"].map(load);
    await settle();
    expect(began).toEqual(["a", "b"]);
    loads[1]!.end();
    await settle();
    expect(began).toEqual(["a", "b", "c"]);
    for (const { end } of loads) end();
    await Promise.all(loads.map(({ ended }) => ended));
    expect(began).toEqual(["a", "b", "c", "d"]);
  });

  it("asks the rule anew before each load, and always runs one", async () => {
    let parallel = 3;
    const { began, load } = setup(() => parallel);
    const [a, b, c] = ["a", "b", "c", "d"].map(load);
    await settle();
    expect(began).toEqual(["a", "b", "c"]);
    parallel = 0;
    a!.end();
    b!.end();
    await settle();
    expect(began).toEqual(["a", "b", "c"]);
    c!.end();
    await settle();
    expect(began).toEqual(["a", "b", "c", "d"]);
  });

  it("goes on after a load that fails, and passes its fault on", async () => {
    const { began, load, queue } = setup(() => 1);
    const failing = queue.run("broken", () => Promise.reject(new Error("no atoms")));
    load("next");
    await expect(failing).rejects.toThrow("no atoms");
    await settle();
    expect(began).toEqual(["next"]);
  });

  it("says within two seconds what is loading and how many are done, and is silent at rest", async () => {
    const { clock, lines, load } = setup(() => 5);
    const loads = ["a", "b", "c", "d", "e", "f"].map(load);
    await settle();
    loads[0]!.end();
    await settle();
    clock.advance(2_000);
    expect(lines).toEqual(["Done with 1 of 6 dictionaries; loading b (2 s), c (2 s), d (2 s), e (2 s) and 1 more."]);
    clock.advance(2_000);
    expect(lines).toHaveLength(2);
    for (const { end } of loads) end();
    await Promise.all(loads.map(({ ended }) => ended));
    clock.advance(60_000);
    expect([lines.length, clock.pending]).toEqual([2, 0]);
    // The next count begins anew.
    load("g");
    await settle();
    clock.advance(2_000);
    expect(lines[2]).toBe("Done with 0 of 1 dictionaries; loading g (2 s).");
  });
});
