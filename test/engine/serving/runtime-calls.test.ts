import { Fault } from "../../../src/engine/core/errors.ts";
import { expect, it } from "vitest";
import { GramTask } from "../../../src/engine/serving/runtime-calls.ts";
import type { GramProgress } from "../../../src/engine/runtime/protocol/messages.ts";
import { RuntimeGone } from "../../../src/engine/runtime/supervisor/runtime-process.ts";
import { Background, CoreLease } from "../../../src/engine/scheduler/core-lease.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { createGate } from "../../support/gate.ts";
import { holdCores } from "../../support/hold-cores.ts";
import { settle } from "../../support/queue-world.ts";
import { Restarts } from "../../support/restarts.ts";

type Step = GramProgress["more"] | Error;

/** A runtime that says after each piece whether there is more, in this order. */
function setup(...steps: readonly Step[]) {
  const clock = new FakeClock();
  const lease = new CoreLease(2, clock);
  const restarts = new Restarts();
  const left = [...steps];
  const progress: GramProgress["more"][] = [];
  const failed: unknown[] = [];
  const patience: number[] = [];
  const gramTask = new GramTask({
    runtime: {
      ready: restarts.ready,
      // Calls of a runtime wait for its restart.
      async buildGramStep({ limit }) {
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
    limit: 1000,
    onStep: ({ more }) => progress.push(more),
    onFailed: (error) => failed.push(error),
  });
  return { gramTask, lease, restarts, progress, failed, patience };
}

it("takes turns at the cores for every piece", async () => {
  const { gramTask, lease, progress, patience } = setup(true, true, false);
  const gate = createGate();
  const other = holdCores(lease, 2, () => gate.passed);
  gramTask.begin();
  await settle();
  expect(progress).toEqual([]);
  gate.open();
  await other;
  await settle();
  expect(progress).toEqual([true, true, false]);
  expect(patience).toEqual([1000, 1000, 1000]);
});

it("begins anew with a new process, holds nothing while it starts, and is silent of the old one's end", async () => {
  const { gramTask, lease, restarts, progress, failed } = setup(
    true,
    new RuntimeGone("crash", "it ended"),
    true,
    false,
  );
  gramTask.begin();
  await settle();
  expect([progress, failed]).toEqual([[true], []]);
  const restarted = restarts.begin();
  gramTask.begin();
  gramTask.begin();
  await settle();
  await holdCores(lease, 2, () => Promise.resolve());
  expect(progress).toEqual([true]);
  restarted();
  await settle();
  expect(progress).toEqual([true, true, false]);
});

it("ends with a dictionary that is broken by now, and tells of what nobody else tells", async () => {
  const broken = setup(new Fault("broken", ["the folder is gone"]));
  broken.gramTask.begin();
  const odd = setup(true, new Error("no dictionary is loaded"));
  odd.gramTask.begin();
  await settle();
  expect(broken.failed).toEqual([]);
  expect(odd.failed).toEqual([new Error("no dictionary is loaded")]);
});

it("does no further piece once it is stopped, though it waited for one", async () => {
  const { gramTask, lease, progress } = setup(true, true, false);
  const gate = createGate();
  const other = holdCores(lease, 2, () => gate.passed);
  gramTask.begin();
  await settle();
  gramTask.stop();
  gate.open();
  await other;
  gramTask.begin();
  await settle();
  expect(progress).toEqual([]);
  await holdCores(lease, 2, () => Promise.resolve());
});
