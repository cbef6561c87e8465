import { describe, expect, it } from "vitest";
import { Cancellation } from "../../../src/engine/core/cancellation.ts";
import { systemClock } from "../../../src/engine/core/clock.ts";
import { type Span, Telemetry, type TelemetryEvent } from "../../../src/engine/core/telemetry.ts";
import { DictionaryExecutor, type EncodeWork } from "../../../src/engine/serving/dictionary-executor.ts";
import { budgetClasses } from "../../../src/engine/serving/check-encode.ts";
import { type CallTime, RuntimeGone } from "../../../src/engine/runtime/supervisor/runtime-process.ts";
import type { OutgoingBatch, SupervisedRuntime } from "../../../src/engine/runtime/supervisor/supervised-runtime.ts";
import { STOP_REASONS, type SparseCodes, type StopReason } from "../../../src/engine/core/sparse-codes.ts";
import { codesOf } from "../../support/codes.ts";

/** A row that ends the runtime process. */
const CRASHES = 12_345;

/** Rows of one number, which says after how many steps their pursuit ends by a tolerance. */
function workOf(ends: readonly number[], maxAtoms: number): EncodeWork {
  const count = ends.length;
  const budgets = {
    maxAtoms: new Int32Array(count).fill(maxAtoms),
    tolerance: new Float64Array(count).fill(0.5),
    residualNorm: new Float64Array(count),
    minGain: new Float64Array(count),
    group: new Int32Array(count),
  };
  return {
    count,
    cancellation: new Cancellation(),
    rows: { data: Float32Array.from(ends), count, width: 1 },
    budgets,
    classes: budgetClasses(budgets, true),
    span: {},
    trace: false,
    reconstruction: false,
  };
}

/** What telemetry sees of the batches. */
type BatchEvent = TelemetryEvent & { readonly type: "batch_started" | "batch_ended" };

function setup({ warmUp = { steps: 8, milliseconds: 1 } } = {}) {
  const batches: OutgoingBatch[] = [];
  const watchdogs: CallTime[] = [];
  const seen: SparseCodes[] = [];
  const spans: Span[] = [];
  const events: BatchEvent[] = [];
  const runtime = {
    async encode(batch: OutgoingBatch, time: CallTime, span: Span) {
      if (batch.rows[0]![0] === CRASHES) throw new RuntimeGone("crash", "It ended.");
      batches.push(batch);
      spans.push(span);
      watchdogs.push(time);
      const ends = batch.rows.flatMap((rows) => [...rows]);
      const codes = codesOf(
        ends.map((end, i) => {
          const allowed = batch.budgets.maxAtoms[i]!;
          return { entries: [], stop: end <= allowed ? ("tolerance" as const) : ("max_atoms" as const) };
        }),
        4,
      );
      for (const [i, end] of ends.entries()) codes.steps[i] = Math.min(end, batch.budgets.maxAtoms[i]!);
      const milliseconds = codes.steps.reduce((sum, steps) => sum + 0.5 + 0.05 * steps, 0);
      return { codes, milliseconds };
    },
  } as unknown as SupervisedRuntime;
  const telemetry = new Telemetry();
  telemetry.subscribe((event) => {
    if (event.type !== "batch_started" && event.type !== "batch_ended") return;
    events.push(event);
    if (event.type === "batch_ended" && event.result !== null) seen.push(event.result.codes);
  });
  const executor = new DictionaryExecutor({
    dictionary: "one",
    runtime,
    warmUp,
    dIn: 1,
    threads: 2,
    batchMs: 10,
    watchdogFactor: 2,
    watchdogMs: 100,
    clock: systemClock,
    telemetry,
  });
  return { executor, batches, watchdogs, seen, spans, events, telemetry };
}

const stopsOf = ({ stops }: SparseCodes): StopReason[] => Array.from(stops, (stop) => STOP_REASONS[stop]!);

describe("DictionaryExecutor", () => {
  it("runs a piece that keeps all with the budgets that were asked for", async () => {
    const { executor, batches } = setup();
    const [codes] = await executor.run([{ work: workOf([3, 99], 16), from: 0, to: 2, keep: 1 }]);
    expect([...batches[0]!.budgets.maxAtoms]).toEqual([16, 16]);
    expect(stopsOf(codes!)).toEqual(["tolerance", "max_atoms"]);
  });

  it("gives fewer atoms to a piece that may not keep all, and to no other in its batch", async () => {
    const { executor, batches, seen } = setup();
    const pieces = [
      { work: workOf([99, 1], 16), from: 0, to: 2, keep: 1 },
      { work: workOf([50, 3, 99, 1], 64), from: 0, to: 4, keep: 0.1 },
      { work: workOf([0, 9], 1), from: 0, to: 2, keep: 0 },
    ];
    const [whole, shortened, least] = await executor.run(pieces);
    // 32 steps are expected of a budget of 64 with a tolerance that has not been seen: a tenth of what is beyond one.
    expect([...batches[0]!.budgets.maxAtoms]).toEqual([16, 16, 4, 4, 4, 4, 1, 1]);
    expect(stopsOf(whole!)).toEqual(["max_atoms", "tolerance"]);
    // Cut short, ended before, cut short, ended before: each says its own reason.
    expect(stopsOf(shortened!)).toEqual(["degraded", "tolerance", "degraded", "tolerance"]);
    // A budget of one cannot be lowered.
    expect(stopsOf(least!)).toEqual(["tolerance", "max_atoms"]);
    // The metrics see the same.
    expect(stopsOf(seen[0]!).filter((stop) => stop === "degraded")).toHaveLength(2);
  });

  it("tells of each batch, whose requests' rows it has, and how it ended", async () => {
    const { executor, events, spans, telemetry } = setup();
    // As tracing does.
    telemetry.subscribe((event) => {
      if (event.type === "batch_started") event.batch.traceparent = "00-ab-cd-01";
    });
    const works = [workOf([1], 4), workOf([2, 3], 4)];
    await executor.run(works.map((work) => ({ work, from: 0, to: work.count, keep: 1 })));
    const batch = {
      dictionary: "one",
      encoder: "own",
      rows: 3,
      requests: works.map(({ span }) => span),
      traceparent: "00-ab-cd-01",
    };
    expect(events).toMatchObject([
      { type: "batch_started", batch },
      { type: "batch_ended", batch, result: { codes: { count: 3 } } },
    ]);
    const [started, ended] = events;
    expect(ended).toMatchObject({ start: (started as { at: number }).at });
    expect(spans).toEqual([batch]);
    await expect(executor.run([{ work: workOf([CRASHES], 4), from: 0, to: 1, keep: 1 }])).rejects.toThrow("It ended.");
    expect(events.slice(2)).toMatchObject([{ type: "batch_started" }, { type: "batch_ended", result: null }]);
  });

  it("prices rows by what the session says that they took", async () => {
    const { executor } = setup();
    const work = workOf([40, 40, 40, 40], 64);
    for (let i = 0; i < 100; i++) await executor.run([{ work, from: 0, to: 4, keep: 1 }]);
    expect(executor.overhead + 4 * executor.rowCost(work, 0, 1)).toBeCloseTo(4 * (0.5 + 0.05 * 40), 1);
  });

  it("waits as long as rows took at the load, however fast they have become: a new runtime begins there again", async () => {
    const { executor, watchdogs } = setup({ warmUp: { steps: 8, milliseconds: 100 } });
    const work = workOf([60, 60], 64);
    for (let i = 0; i < 40; i++) await executor.run([{ work, from: 0, to: 2, keep: 1 }]);
    expect(executor.rowCost(work, 0, 1)).toBeLessThan(10);
    // 10 ms for the run, a row and a step each; 32 steps a row, as such rows are thought to take before any was seen.
    expect(watchdogs.at(-1)!.limit).toBeCloseTo(2 * (10 + 2 * (10 + 32 * 10)), 6);
  });

  it("does not take the lowered budget for what such rows need", async () => {
    const { executor } = setup();
    const work = workOf([60, 60], 64);
    await executor.run([{ work, from: 0, to: 2, keep: 1 }]);
    for (let i = 0; i < 20; i++) await executor.run([{ work, from: 0, to: 2, keep: 0 }]);
    // Had it been, the two would be one.
    expect(executor.rowCost(work, 0, 1)).toBeGreaterThan(3 * executor.rowCost(work, 0, 0));
  });
});
