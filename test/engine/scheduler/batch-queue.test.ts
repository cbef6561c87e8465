import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BatchQueue } from "../../../src/engine/scheduler/batch-queue.ts";
import { CoreLease } from "../../../src/engine/scheduler/core-lease.ts";
import { type Executor, ExecutorCrash, type Piece, type Work } from "../../../src/engine/scheduler/executor.ts";
import { FakeClock } from "../../support/fake-clock.ts";

interface NamedWork extends Work {
  readonly name: string;
  readonly abort: AbortController;
}

function work(name: string, count: number, deadline?: number): NamedWork {
  const abort = new AbortController();
  return { name, count, abort, signal: abort.signal, ...(deadline !== undefined && { deadline }) };
}

type Rows = readonly string[];
interface Batch {
  readonly pieces: readonly Piece<NamedWork>[];
  /** "a0 a1 b0": the rows of the batch by name. */
  readonly rows: string;
  finish(): void;
  fail(error: Error): void;
}

/** Echoes each piece's row names, when told to. A row costs 1. */
class ManualExecutor implements Executor<NamedWork, Rows> {
  readonly cores = 1;
  readonly batches: Batch[] = [];
  readonly capacity: number;

  constructor(capacity: number) {
    this.capacity = capacity;
  }

  rowCost(): number {
    return 1;
  }

  run(pieces: readonly Piece<NamedWork>[]): Promise<readonly Rows[]> {
    const results = pieces.map(({ work: { name }, from, to }) =>
      Array.from({ length: to - from }, (_, i) => `${name}${from + i}`),
    );
    return new Promise((resolve, reject) => {
      this.batches.push({ pieces, rows: results.flat().join(" "), finish: () => resolve(results), fail: reject });
    });
  }
}

function setup(capacity = 4, maxWait = 1000) {
  const executor = new ManualExecutor(capacity);
  const clock = new FakeClock();
  const shed: string[] = [];
  let queued = 0;
  const queue = new BatchQueue<NamedWork, Rows>({
    executor,
    lease: new CoreLease(1),
    clock,
    maxWait,
    onShed: (reason) => shed.push(reason),
    onQueued: (change) => (queued += change),
  });
  return { executor, clock, shed, queue, queued: () => queued };
}

/** Lets every promise that can go on do so. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("BatchQueue", () => {
  it("runs what waits as one batch and answers each with its own rows", async () => {
    const { executor, queue, queued } = setup();
    const first = queue.submit(work("a", 1));
    await settle();
    const second = queue.submit(work("b", 2));
    const third = queue.submit(work("c", 1));
    expect(queued()).toBe(3);
    executor.batches[0]!.finish();
    await settle();
    expect(executor.batches.map(({ rows }) => rows)).toEqual(["a0", "b0 b1 c0"]);
    executor.batches[1]!.finish();
    expect((await first).results).toEqual([["a0"]]);
    expect((await second).results).toEqual([["b0", "b1"]]);
    expect((await third).results).toEqual([["c0"]]);
    expect(queued()).toBe(0);
  });

  it("spreads a large request over batches and lets a small one in between", async () => {
    const { executor, queue } = setup(4);
    const large = queue.submit(work("L", 10));
    const small = queue.submit(work("s", 1));
    for (let i = 0; i < 4; i++) {
      await settle();
      executor.batches[i]?.finish();
    }
    expect(executor.batches.map(({ rows }) => rows)).toEqual(["L0 L1 L2 L3", "s0 L4 L5 L6", "L7 L8 L9"]);
    expect((await small).results).toEqual([["s0"]]);
    expect((await large).results.flat()).toEqual(Array.from({ length: 10 }, (_, i) => `L${i}`));
  });

  it("drops a client that hung up, before and after its batch was formed", async () => {
    const { executor, queue, shed, queued } = setup();
    const running = work("a", 1);
    const answer = queue.submit(running);
    await settle();
    const waiting = work("b", 2);
    const dropped = queue.submit(waiting);
    waiting.abort.abort();
    await expect(dropped).rejects.toMatchObject({ code: "PURSUIT_CLIENT_CLOSED" });
    expect(queued()).toBe(0);
    running.abort.abort();
    await expect(answer).rejects.toMatchObject({ code: "PURSUIT_CLIENT_CLOSED" });
    executor.batches[0]!.finish();
    await settle();
    expect(executor.batches).toHaveLength(1);
    expect(shed).toEqual(["client_closed", "client_closed"]);
  });

  it("answers a passed deadline with a timeout, and leaves no timer behind", async () => {
    const { executor, queue, clock } = setup();
    const inTime = queue.submit(work("a", 1, 100));
    await settle();
    const late = expect(queue.submit(work("b", 1, 5))).rejects.toMatchObject({ code: "PURSUIT_TIMEOUT" });
    clock.advance(6);
    await late;
    await expect(queue.submit(work("c", 1, 6))).rejects.toMatchObject({ code: "PURSUIT_TIMEOUT" });
    executor.batches[0]!.finish();
    await inTime;
    expect(clock.pending).toBe(0);
  });

  it("refuses beyond the admission limit and says when to come again", async () => {
    const { executor, queue, shed } = setup(4, 3000);
    void queue.submit(work("a", 1));
    await settle();
    void queue.submit(work("b", 5000));
    await expect(queue.submit(work("c", 1))).rejects.toMatchObject({ code: "PURSUIT_QUEUE_FULL", retryAfter: 2 });
    expect(shed).toEqual(["queue_full"]);
    executor.batches[0]!.finish();
  });

  it("sends the requests of a crashed batch again one by one, and fails only the one that crashes alone", async () => {
    const { executor, queue } = setup();
    void queue.submit(work("x", 1));
    await settle();
    const answers = Promise.allSettled(["a", "b", "c"].map((name) => queue.submit(work(name, 1))));
    executor.batches[0]!.finish();
    await settle();
    expect(executor.batches[1]!.rows).toBe("a0 b0 c0");
    executor.batches[1]!.fail(new ExecutorCrash("boom"));
    await settle();
    executor.batches[2]!.finish();
    await settle();
    executor.batches[3]!.fail(new ExecutorCrash("boom"));
    await settle();
    executor.batches[4]!.finish();
    expect(executor.batches.slice(2).map(({ rows }) => rows)).toEqual(["a0", "b0", "c0"]);
    expect(await answers).toMatchObject([
      { value: { results: [["a0"]] } },
      { reason: { code: "PURSUIT_RUNTIME_CRASHED" } },
      { value: { results: [["c0"]] } },
    ]);
  });

  it("passes any other fault on to the batch that met it, and goes on", async () => {
    const { executor, queue } = setup();
    const failed = expect(queue.submit(work("a", 1))).rejects.toThrow("no such thing");
    await settle();
    executor.batches[0]!.fail(new Error("no such thing"));
    await failed;
    const next = queue.submit(work("b", 1));
    await settle();
    executor.batches[1]!.finish();
    expect((await next).results).toEqual([["b0"]]);
  });

  it("drains: answers what it accepted, refuses what comes later", async () => {
    const { executor, queue } = setup(1);
    const accepted = [queue.submit(work("a", 1)), queue.submit(work("b", 1))];
    let drained = false;
    const drain = queue.drain().then(() => (drained = true));
    await expect(queue.submit(work("c", 1))).rejects.toMatchObject({ code: "PURSUIT_DRAINING" });
    await settle();
    executor.batches[0]!.finish();
    await settle();
    expect(drained).toBe(false);
    executor.batches[1]!.finish();
    await drain;
    await Promise.all(accepted);
  });

  it("answers every row of every request exactly once, in order, whatever the sizes and crashes", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 12 }),
        fc.integer({ min: 1, max: 9 }),
        fc.array(fc.boolean(), { maxLength: 6 }),
        async (sizes, capacity, crashes) => {
          const { executor, queue, queued } = setup(capacity, Infinity);
          const answers = sizes.map((size, i) => queue.submit(work(`w${i}.`, size)));
          let at = 0;
          let crash = 0;
          for (let idle = 0; idle < 3;) {
            await settle();
            const batch = executor.batches[at];
            if (batch === undefined) {
              idle++;
              continue;
            }
            idle = 0;
            at++;
            // A first run may crash; the runs of its pieces alone do not.
            if (crashes[crash++] && batch.pieces.length > 1) batch.fail(new ExecutorCrash("boom"));
            else batch.finish();
          }
          for (const [i, size] of sizes.entries()) {
            expect((await answers[i]!).results.flat()).toEqual(
              Array.from({ length: size }, (_, row) => `w${i}.${row}`),
            );
          }
          expect(queued()).toBe(0);
          for (const { pieces } of executor.batches) {
            expect(pieces.reduce((rows, { from, to }) => rows + to - from, 0)).toBeLessThanOrEqual(capacity);
          }
        },
      ),
      { numRuns: 60 },
    );
  });
});
