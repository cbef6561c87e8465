import { Fault } from "../../../../src/engine/core/errors.ts";
import { afterEach, describe, expect, it } from "vitest";
import { overdueAfter, systemClock } from "../../../../src/engine/core/clock.ts";
import type { Interval, Span } from "../../../../src/engine/core/telemetry.ts";
import {
  type CallTime,
  RuntimeGone,
  RuntimeProcess,
} from "../../../../src/engine/runtime/supervisor/runtime-process.ts";
import {
  SupervisedRuntime,
  type SupervisedRuntimeOptions,
} from "../../../../src/engine/runtime/supervisor/supervised-runtime.ts";
import { FakeClock } from "../../../support/fake-clock.ts";
import { childrenOf } from "../../../support/process-figures.ts";
import { manifestOf } from "../../../support/model-folder.ts";
import { until } from "../../../support/until.ts";

const entry = new URL("../../../support/fake-executor.js", import.meta.url);
const within = (limit: number): CallTime => ({ expected: 0, limit });
const NO_WATCHDOG = within(60_000);

function start(
  behaviour: string,
  clock = systemClock,
  loadTimeoutMs = 60_000,
  signal = new AbortController().signal,
): Promise<RuntimeProcess> {
  const load = {
    folder: behaviour,
    manifest: manifestOf("fake", { atoms: new Float32Array(2), d: 1 }),
    runtime: "cpu",
    path: "auto",
    gramLimit: 0,
    threads: 1,
    cacheDir: "",
  } as const;
  return RuntimeProcess.start({ entry, load, clock, loadTimeoutMs, signal });
}

const closing: { close(): Promise<void> }[] = [];
afterEach(async () => {
  await Promise.all(closing.splice(0).map((one) => one.close()));
});

/** A supervised runtime whose starts behave as listed; the last one again and again. */
async function supervise(behaviours: string[], clock = systemClock) {
  const restarts: string[] = [];
  const failures: string[][] = [];
  const ran: (Interval & Span)[] = [];
  const options: SupervisedRuntimeOptions = {
    start: () => start(behaviours.length > 1 ? behaviours.shift()! : behaviours[0]!),
    clock,
    onRestart: (reason) => restarts.push(reason),
    onRan: (run) => ran.push(run),
    onRecovered: () => {},
    onFailed: (faults) => failures.push([...faults]),
  };
  const [runtime, facts] = await SupervisedRuntime.start(options, new AbortController().signal);
  closing.push(runtime);
  return { runtime, facts, restarts, failures, ran };
}

const batch = (...values: number[]) => ({
  rows: values.map((value) => Float32Array.of(value, 0)),
  count: values.length,
  budgets: {
    maxAtoms: new Int32Array(values.length).fill(1),
    tolerance: new Float64Array(values.length),
    residualNorm: new Float64Array(values.length),
    minGain: new Float64Array(values.length),
    group: new Int32Array(values.length),
  },
  trace: false,
  reconstruction: false,
});

describe("RuntimeProcess", () => {
  it("says what is wrong with a dictionary that cannot be loaded", async () => {
    await expect(start("broken")).rejects.toMatchObject({
      faults: ["atoms: 3 of them are zero.", "center is missing."],
    });
    await expect(start("broken")).rejects.toBeInstanceOf(Fault);
  });

  it("tells a process that ended while loading from a broken dictionary", async () => {
    await expect(start("exits")).rejects.toThrow(/ended while it loaded \(exit code 7\)/);
  });

  it("kills a process that never loads", async () => {
    const clock = new FakeClock();
    const started = expect(start("mute", clock, 5_000)).rejects.toMatchObject({ reason: "watchdog" });
    await until(() => clock.pending > 0);
    clock.advance(5_000);
    await started;
  });

  it("gives every call its time from when the one before it was answered", async () => {
    const clock = new FakeClock();
    const runtime = await start("ok", clock);
    const call = (value: number, watchdog: number) => {
      const { budgets, rows } = batch(value);
      const head = { type: "encode", count: 1, trace: false, reconstruction: false } as const;
      return runtime.call(head, { rows, ...budgets }, within(watchdog));
    };
    const first = call(1, 100);
    const hung = call(555, 20);
    let fault: unknown;
    void hung.catch((error: unknown) => (fault = error));
    clock.advance(30);
    await first;
    clock.advance(19);
    await new Promise((resolve) => setImmediate(resolve));
    expect(fault).toBeUndefined();
    clock.advance(1);
    await expect(hung).rejects.toMatchObject({
      reason: "watchdog",
      message: expect.stringContaining("20 ms") as string,
    });
    await runtime.ended;
  });

  it("is overdue while a call takes many times its predicted time, and no longer than that", async () => {
    const clock = new FakeClock();
    const runtime = await start("ok", clock);
    const call = runtime.call({ type: "atoms" }, {}, { expected: 200, limit: 2000 });
    const gone = call.catch((error: unknown) => error);
    clock.advance(overdueAfter(200) - 1);
    expect(runtime.overdue).toBeNull();
    clock.advance(1);
    const over = runtime.overdue;
    expect(over).not.toBeNull();
    clock.advance(2000 - overdueAfter(200) - 1);
    expect(runtime.gone).toBeNull();
    clock.advance(1);
    await over;
    expect(runtime.overdue).toBeNull();
    expect(await gone).toMatchObject({ reason: "watchdog" });
    await runtime.ended;
    expect(clock.pending).toBe(0);
  });

  it("gives a call that hangs seconds, once it is to hurry", async () => {
    const clock = new FakeClock();
    const runtime = await start("ok", clock);
    const call = runtime.call({ type: "atoms" }, {}, { expected: 0, limit: 60_000 });
    const gone = call.catch((error: unknown) => error);
    clock.advance(1000);
    runtime.hurry();
    clock.advance(5000);
    expect(await gone).toMatchObject({ reason: "watchdog", message: expect.stringContaining("5000 ms") as string });
    await runtime.ended;
  });

  it("ends at once when it is given up while it loads", async () => {
    const before = childrenOf(process.pid);
    const loading = (): number[] => childrenOf(process.pid).filter((pid) => !before.includes(pid));
    const given = new AbortController();
    const started = expect(start("mute", systemClock, 60_000, given.signal)).rejects.toThrow(/signal SIGKILL/);
    await until(() => loading().length > 0);
    given.abort();
    await started;
    await expect(start("mute", systemClock, 60_000, given.signal)).rejects.toThrow(/signal SIGKILL/);
    expect(loading()).toEqual([]);
  });

  it("ends when asked to", async () => {
    const runtime = await start("ok");
    await runtime.close();
    expect(await runtime.ended).toBe("exit code 0");
    await expect(runtime.call({ type: "atoms" }, {}, NO_WATCHDOG)).rejects.toBeInstanceOf(RuntimeGone);
  });
});

describe("SupervisedRuntime", () => {
  it("answers batches whose rows lie in pieces", async () => {
    const { runtime } = await supervise(["ok"]);
    const { codes } = await runtime.encode(batch(1.5, 2.5), NO_WATCHDOG);
    expect(codes.values).toEqual(Float32Array.of(1.5, 2.5));
    expect(codes.width).toBe(4);
  });

  it("carries the trace context into the process and back, with when the call ran", async () => {
    const { runtime, ran } = await supervise(["ok"]);
    const before = performance.now();
    await runtime.encode(batch(1), NO_WATCHDOG, { traceparent: "00-ab-cd-01" });
    await runtime.encode(batch(1), NO_WATCHDOG, {});
    // Work of the server's own is nobody's.
    await runtime.buildGramStep(NO_WATCHDOG);
    expect(ran).toEqual([
      { start: expect.any(Number), end: expect.any(Number), traceparent: "00-ab-cd-01" },
      { start: expect.any(Number), end: expect.any(Number) },
    ]);
    // The other process's clock is this one's. Its run began a millisecond before it read it.
    for (const run of ran) {
      expect(run.start).toBeGreaterThan(before - 1);
      expect(run.end).toBeGreaterThan(run.start);
      expect(run.end).toBeLessThan(performance.now());
    }
  });

  it("fails what was in flight when the process died, and serves the next call from a new one", async () => {
    const { runtime, restarts } = await supervise(["ok"]);
    const before = await runtime.pid();
    await expect(runtime.encode(batch(666), NO_WATCHDOG)).rejects.toBeInstanceOf(RuntimeGone);
    const { codes } = await runtime.encode(batch(3), NO_WATCHDOG);
    expect(codes.values).toEqual(Float32Array.of(3));
    expect(await runtime.pid()).not.toBe(before);
    expect(restarts).toEqual(["crash"]);
  });

  it("is ready, but not while it restarts", async () => {
    const { runtime } = await supervise(["ok"]);
    expect(runtime.ready()).toBeNull();
    await expect(runtime.encode(batch(666), NO_WATCHDOG)).rejects.toBeInstanceOf(RuntimeGone);
    const again = runtime.ready();
    expect(again).not.toBeNull();
    await again;
    expect(runtime.ready()).toBeNull();
    await expect(runtime.encode(batch(555), within(20))).rejects.toMatchObject({ reason: "watchdog" });
    const restarted = runtime.ready();
    expect(restarted).not.toBeNull();
    await restarted;
    expect(runtime.ready()).toBeNull();
    expect((await runtime.encode(batch(1), NO_WATCHDOG)).codes.count).toBe(1);
  });

  it("is as ready as it will be when its dictionary was broken meanwhile, or it closes", async () => {
    const { runtime } = await supervise(["ok", "broken"]);
    await expect(runtime.encode(batch(666), NO_WATCHDOG)).rejects.toBeInstanceOf(RuntimeGone);
    await runtime.ready();
    expect(runtime.ready()).toBeNull();
    const { runtime: other } = await supervise(["ok", "exits"]);
    await expect(other.encode(batch(666), NO_WATCHDOG)).rejects.toBeInstanceOf(RuntimeGone);
    const restarted = other.ready();
    expect(restarted).not.toBeNull();
    await other.close();
    await restarted;
    expect(other.ready()).toBeNull();
  });

  it("takes a call without an answer for a hang, and kills the process", async () => {
    const { runtime, restarts } = await supervise(["ok"]);
    await expect(runtime.encode(batch(555), within(20))).rejects.toMatchObject({ reason: "watchdog" });
    expect((await runtime.encode(batch(1), NO_WATCHDOG)).codes.count).toBe(1);
    expect(restarts).toEqual(["watchdog"]);
  });

  it("keeps the process when a call merely fails in it", async () => {
    const { runtime, restarts } = await supervise(["ok"]);
    const before = await runtime.pid();
    await expect(runtime.encode(batch(444), NO_WATCHDOG)).rejects.toThrow("no memory for this batch");
    expect(await runtime.pid()).toBe(before);
    expect(restarts).toEqual([]);
  });

  it("tries again when a restarted process ends while it loads", async () => {
    const { runtime, restarts } = await supervise(["ok", "exits", "exits", "ok"]);
    await expect(runtime.encode(batch(666), NO_WATCHDOG)).rejects.toBeInstanceOf(RuntimeGone);
    expect((await runtime.encode(batch(1), NO_WATCHDOG)).codes.count).toBe(1);
    expect(restarts).toEqual(["crash", "crash", "crash"]);
  });

  it("tries again when the machine has no room for a restarted process", async () => {
    const { runtime, failures } = await supervise(["ok", "short", "ok"]);
    await expect(runtime.encode(batch(666), NO_WATCHDOG)).rejects.toBeInstanceOf(RuntimeGone);
    expect((await runtime.encode(batch(1), NO_WATCHDOG)).codes.count).toBe(1);
    expect(failures).toEqual([]);
  });

  it("gives up when the dictionary was broken meanwhile, and says so to every call", async () => {
    const { runtime, failures } = await supervise(["ok", "broken"]);
    await expect(runtime.encode(batch(666), NO_WATCHDOG)).rejects.toBeInstanceOf(RuntimeGone);
    await expect(runtime.encode(batch(1), NO_WATCHDOG)).rejects.toBeInstanceOf(Fault);
    await expect(runtime.encode(batch(1), NO_WATCHDOG)).rejects.toBeInstanceOf(Fault);
    expect(failures).toHaveLength(1);
  });
});
