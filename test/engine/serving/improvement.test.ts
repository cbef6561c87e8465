import { Fault } from "../../../src/engine/core/errors.ts";
import { expect, it } from "vitest";
import { Improvement } from "../../../src/engine/serving/improvement.ts";
import type { Improved } from "../../../src/engine/runtime/protocol/messages.ts";
import { RuntimeGone } from "../../../src/engine/runtime/supervisor/runtime-process.ts";
import { Background, CoreLease } from "../../../src/engine/scheduler/core-lease.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { createGate } from "../../support/gate.ts";
import { holdCores } from "../../support/hold-cores.ts";
import { settle } from "../../support/queue-world.ts";
import { Restarts } from "../../support/restarts.ts";

type Step = Improved["more"] | Error;

/** A runtime that says after each piece whether there is more, in this order. */
function setup(...steps: readonly Step[]) {
  const clock = new FakeClock();
  const lease = new CoreLease(2, clock);
  const restarts = new Restarts();
  const left = [...steps];
  const improved: Improved["more"][] = [];
  const failed: unknown[] = [];
  const patience: number[] = [];
  const improvement = new Improvement({
    runtime: {
      ready: restarts.ready,
      // Calls of a runtime wait for its restart.
      async improve({ limit }) {
        await restarts.ready();
        patience.push(limit);
        const step = left.shift();
        if (step instanceof Error) throw step;
        return {
          chosen: { runtime: "cpu", path: "fused" },
          coherence: { maxCosine: null, minNorm: 1, maxNorm: 1 },
          more: step ?? false,
        };
      },
    },
    background: new Background(lease, 2, clock),
    watchdog: 1000,
    onImproved: ({ more }) => improved.push(more),
    onFailed: (error) => failed.push(error),
  });
  return { improvement, lease, restarts, improved, failed, patience };
}

it("takes turns at the cores for every piece", async () => {
  const { improvement, lease, improved, patience } = setup(true, true, false);
  const gate = createGate();
  const other = holdCores(lease, 2, () => gate.passed);
  improvement.begin();
  await settle();
  expect(improved).toEqual([]);
  gate.open();
  await other;
  await settle();
  expect(improved).toEqual([true, true, false]);
  expect(patience).toEqual([1000, 1000, 1000]);
});

it("begins anew with a new process, holds nothing while it starts, and is silent of the old one's end", async () => {
  const { improvement, lease, restarts, improved, failed } = setup(
    true,
    new RuntimeGone("crash", "it ended"),
    true,
    false,
  );
  improvement.begin();
  await settle();
  expect([improved, failed]).toEqual([[true], []]);
  const restarted = restarts.begin();
  improvement.begin();
  improvement.begin();
  await settle();
  await holdCores(lease, 2, () => Promise.resolve());
  expect(improved).toEqual([true]);
  restarted();
  await settle();
  expect(improved).toEqual([true, true, false]);
});

it("ends with a dictionary that is broken by now, and tells of what nobody else tells", async () => {
  const broken = setup(new Fault("broken", ["the folder is gone"]));
  broken.improvement.begin();
  const odd = setup(true, new Error("no dictionary is loaded"));
  odd.improvement.begin();
  await settle();
  expect(broken.failed).toEqual([]);
  expect(odd.failed).toEqual([new Error("no dictionary is loaded")]);
});

it("does no further piece once it is stopped, though it waited for one", async () => {
  const { improvement, lease, improved } = setup(true, true, false);
  const gate = createGate();
  const other = holdCores(lease, 2, () => gate.passed);
  improvement.begin();
  await settle();
  improvement.stop();
  gate.open();
  await other;
  improvement.begin();
  await settle();
  expect(improved).toEqual([]);
  await holdCores(lease, 2, () => Promise.resolve());
});
