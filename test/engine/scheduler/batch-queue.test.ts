import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Cancellation } from "../../../src/engine/core/cancellation.ts";
import { type EngineError } from "../../../src/engine/core/errors.ts";
import { BatchQueue } from "../../../src/engine/scheduler/batch-queue.ts";
import { CoreLease } from "../../../src/engine/scheduler/core-lease.ts";
import { type Executor, ExecutorCrash, type Piece, type Work } from "../../../src/engine/scheduler/work.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { createGate } from "../../support/gate.ts";
import { holdCores } from "../../support/hold-cores.ts";
import { settle } from "../../support/queue-world.ts";
import { Restarts } from "../../support/restarts.ts";

interface NamedWork extends Work {
  readonly name: string;
}

function work(name: string, count: number, more: Partial<Pick<Work, "deadline" | "degrade">> = {}): NamedWork {
  return { name, count, cancellation: new Cancellation(), ...more };
}

type Rows = readonly string[];
interface Batch {
  readonly pieces: readonly Piece<NamedWork>[];
  /** "a0 a1 b0": the rows of the batch by name. */
  readonly rows: string;
  finish(): void;
  fail(error: Error): void;
}

/** Echoes each piece's row names, when told to. A row costs 1, or a tenth when it keeps nothing. */
class ManualExecutor implements Executor<NamedWork, Rows> {
  readonly cores = 1;
  overhead = 0;
  takesAhead = false;
  readonly batches: Batch[] = [];
  readonly capacity: number;
  price = 1;
  readonly #restarts = new Restarts();
  readonly ready = this.#restarts.ready;

  constructor(capacity: number) {
    this.capacity = capacity;
  }

  /** As of {@link Restarts.begin}. */
  restart(): () => void {
    return this.#restarts.begin();
  }

  rowCost(_work: NamedWork, _row: number, keep: number): number {
    return this.price * (0.1 + 0.9 * keep);
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

function setup(capacity = 4, options: { maxWaitMs?: number; maxRows?: number; degradeMs?: number } = {}) {
  const executor = new ManualExecutor(capacity);
  const clock = new FakeClock();
  const lease = new CoreLease(1, clock);
  const shed: string[] = [];
  let queued = 0;
  const queue = new BatchQueue<NamedWork, Rows>({
    executor,
    lease,
    clock,
    maxWaitMs: 1000,
    maxRows: Infinity,
    degradeMs: 100,
    ...options,
    onShed: (reason) => shed.push(reason),
    onQueued: (change) => (queued += change),
  });
  /** Lets the newest batch take that long. */
  const finish = async (milliseconds = 0): Promise<void> => {
    await settle();
    clock.advance(milliseconds);
    executor.batches.at(-1)!.finish();
    await settle();
  };
  /** Runs as predicted: from then on admission goes by what is predicted. */
  const warm = async (): Promise<void> => {
    for (let i = 0; i < 16; i++) {
      const answer = queue.submit(work("warm", 1));
      await finish(1);
      await answer;
    }
  };
  return { executor, clock, lease, shed, queue, finish, warm, queued: () => queued };
}

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

  it("spreads a large request over batches, and over small pieces while small ones come", async () => {
    const { executor, queue, finish, clock } = setup(4);
    const large = queue.submit(work("L", 20));
    await finish();
    await settle();
    const small = queue.submit(work("s", 1));
    for (let i = 0; i < 3; i++) await finish();
    // A second without small ones, and it has whole batches again.
    clock.advance(1000);
    for (let i = 0; i < 4; i++) await finish();
    expect(executor.batches.map(({ rows }) => rows)).toEqual([
      "L0 L1 L2 L3",
      "L4 L5 L6 L7",
      "s0",
      "L8",
      "L9",
      "L10 L11 L12 L13",
      "L14 L15 L16 L17",
      "L18 L19",
    ]);
    expect((await small).results).toEqual([["s0"]]);
    expect((await large).results.flat()).toEqual(Array.from({ length: 20 }, (_, i) => `L${i}`));
  });

  it("lets a request wait for its equals, not for one many times as large", async () => {
    const { executor, queue, finish } = setup(4);
    void queue.submit(work("H", 200));
    await settle();
    const large = queue.submit(work("L", 12));
    let answers = 0;
    void large.then(() => answers++);
    for (let i = 0; i < 6; i++) await finish();
    expect(answers).toBe(1);
    expect(executor.batches.filter(({ rows }) => rows.startsWith("H")).length).toBeLessThanOrEqual(4);
  });

  it("moves a request on when prices have risen so that it fits no batch any more", async () => {
    const { executor, queue, finish } = setup(4);
    const first = queue.submit(work("a", 4));
    await settle();
    const second = queue.submit(work("b", 4));
    executor.price = 2;
    await finish(1000);
    await finish();
    await finish();
    expect(executor.batches.map(({ rows }) => rows)).toEqual(["a0 a1 a2 a3", "b0 b1", "b2 b3"]);
    await Promise.all([first, second]);
  });

  it("takes a row that costs more than a batch alone", async () => {
    const { executor, queue, finish } = setup(4);
    executor.price = 9;
    const answers = [queue.submit(work("a", 2)), queue.submit(work("b", 1))];
    for (let i = 0; i < 3; i++) await finish();
    await Promise.all(answers);
    expect(executor.batches.map(({ rows }) => rows).sort()).toEqual(["a0", "a1", "b0"]);
  });

  it("drops a client that hung up, before and after its batch was formed", async () => {
    const { executor, queue, shed, queued } = setup();
    const running = work("a", 1);
    const answer = queue.submit(running);
    await settle();
    const waiting = work("b", 2);
    const dropped = queue.submit(waiting);
    waiting.cancellation.cancel();
    await expect(dropped).rejects.toMatchObject({ code: "PURSUIT_CLIENT_CLOSED" });
    expect(queued()).toBe(0);
    running.cancellation.cancel();
    await expect(answer).rejects.toMatchObject({ code: "PURSUIT_CLIENT_CLOSED" });
    executor.batches[0]!.finish();
    await settle();
    expect(executor.batches).toHaveLength(1);
    expect(shed).toEqual(["client_closed", "client_closed"]);
  });

  it("answers a passed deadline with a timeout, and leaves no timer behind", async () => {
    const { executor, queue, clock } = setup();
    const inTime = queue.submit(work("a", 1, { deadline: 100 }));
    await settle();
    const late = expect(queue.submit(work("b", 1, { deadline: 5 }))).rejects.toMatchObject({ code: "PURSUIT_TIMEOUT" });
    clock.advance(6);
    await late;
    await expect(queue.submit(work("c", 1, { deadline: 6 }))).rejects.toMatchObject({ code: "PURSUIT_TIMEOUT" });
    executor.batches[0]!.finish();
    await inTime;
    await settle();
    expect(clock.pending).toBe(0);
  });

  it("refuses beyond the admission limit and says when to come again", async () => {
    const { queue, shed, executor, warm } = setup(4, { maxWaitMs: 3000 });
    await warm();
    void queue.submit(work("a", 1));
    await settle();
    for (let i = 0; i < 1250; i++) queue.submit(work("b", 4)).catch(() => {});
    const refused = await queue.submit(work("c", 1)).catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: "PURSUIT_QUEUE_FULL" });
    // What runs (1), what waits (751 · 4 were let in) and nothing else: a little over the limit, so soon again.
    expect((refused as EngineError).retryAfter).toBeCloseTo(0.004);
    expect((refused as EngineError).message).toBe(
      "The queue is full: 3000 rows wait, about 3001 ms of work, and the limit is 3000 ms.",
    );
    expect(shed.every((reason) => reason === "queue_full")).toBe(true);
    // The same without a body.
    expect(() => queue.admit()).toThrow(expect.objectContaining({ code: "PURSUIT_QUEUE_FULL" }));
    executor.batches.at(-1)!.finish();
  });

  it("turns nobody away by a guess: until prices have settled, rows alone count", async () => {
    const { queue, executor, finish } = setup(4, { maxWaitMs: 50, maxRows: 30 });
    executor.price = 100;
    void queue.submit(work("a", 1));
    await settle();
    for (let i = 0; i < 8; i++) void queue.submit(work(`b${i}.`, 4));
    expect(() => queue.admit()).toThrow(/32 rows wait, .* the limit is 30 rows/);
    executor.price = 1;
    await finish(1);
    // What waits is counted at the price that has been learned, not at the one it came in with.
    expect(queue.predictedWait).toBeLessThan(50);
  });

  it("admits what is larger than the limit where nobody of its size waits, and small ones beside it", async () => {
    const { queue, warm } = setup(4, { maxWaitMs: 100 });
    await warm();
    void queue.submit(work("L", 5000)).catch(() => {});
    await settle();
    expect(() => queue.admit()).not.toThrow();
    void queue.submit(work("s", 1)).catch(() => {});
    // Another one that large would wait for the first.
    await expect(queue.submit(work("M", 5000))).rejects.toMatchObject({ code: "PURSUIT_QUEUE_FULL" });
  });

  it("bounds the rows that wait, whatever they are thought to cost", async () => {
    const { queue } = setup(4, { maxWaitMs: Infinity, maxRows: 10 });
    void queue.submit(work("a", 1));
    await settle();
    void queue.submit(work("b", 9));
    void queue.submit(work("c", 3));
    await expect(queue.submit(work("d", 1))).rejects.toMatchObject({
      code: "PURSUIT_QUEUE_FULL",
      message: expect.stringMatching(/^The queue is full: 12 rows wait, .* and the limit is 10 rows\.$/) as string,
    });
  });

  it("serves who has waited a little longer than the limit: predictions are not that exact", async () => {
    const { queue, finish } = setup(4, { maxWaitMs: 100 });
    void queue.submit(work("a", 4));
    await settle();
    void queue.submit(work("b", 4));
    const late = queue.submit(work("c", 4));
    await finish(104);
    await finish(1);
    await finish(1);
    expect((await late).results).toEqual([["c0", "c1", "c2", "c3"]]);
  });

  it("refuses after all who came behind others and has waited longer than the limit", async () => {
    const { executor, queue, finish, shed, queued } = setup(4, { maxWaitMs: 100 });
    void queue.submit(work("a", 1));
    await settle();
    // Nobody waits yet: it may take as long as it takes.
    const alone = queue.submit(work("b", 4));
    const late = queue.submit(work("c", 4)).catch((error: unknown) => error);
    await finish(106);
    expect(executor.batches.at(-1)!.rows).toBe("b0 b1 b2 b3");
    await finish(1);
    expect((await alone).results).toEqual([["b0", "b1", "b2", "b3"]]);
    expect(await late).toMatchObject({
      code: "PURSUIT_QUEUE_FULL",
      message: "The rows have waited 106 ms, and the limit is 100 ms: the work took longer than predicted.",
    });
    expect(executor.batches).toHaveLength(2);
    expect(queued()).toBe(0);
    expect(shed).toEqual(["queue_full"]);
  });

  it("goes by the pace that batches really have", async () => {
    const { queue, finish } = setup(4);
    for (let i = 0; i < 40; i++) {
      const answer = queue.submit(work("a", 4));
      await finish(12);
      await answer;
    }
    void queue.submit(work("b", 1));
    await settle();
    void queue.submit(work("c", 4));
    expect(queue.predictedWait).toBeGreaterThan(14.5);
    expect(queue.predictedWait).toBeLessThan(15.5);
  });

  it("counts what other dictionaries have waiting for the same cores, up to their turns", async () => {
    const { queue, lease, executor, clock } = setup(4);
    const other = new BatchQueue<NamedWork, Rows>({
      executor,
      lease,
      clock,
      maxWaitMs: Infinity,
      maxRows: Infinity,
      degradeMs: Infinity,
      onShed: () => {},
      onQueued: () => {},
    });
    void other.submit(work("x", 4));
    await settle();
    void other.submit(work("y", 4));
    void other.submit(work("z", 4));
    expect(queue.predictedWait).toBe(4);
    void queue.submit(work("a", 2));
    // Its own 2, and as the other goes on with its 4 that run first.
    expect(queue.predictedWait).toBe(6);
    for (let i = 0; i < 4; i++) void queue.submit(work("b", 4));
    expect(queue.predictedWait).toBe(18 + 12);
  });

  it("refuses at once what would time out in the queue, once it knows its pace", async () => {
    const { queue, warm, shed, clock } = setup(4);
    await warm();
    void queue.submit(work("b", 4));
    await settle();
    for (let i = 0; i < 5; i++) void queue.submit(work("c", 4));
    // 4 run, 20 wait, 4 are its own.
    const at = clock.now();
    await expect(queue.submit(work("d", 4, { deadline: at + 27 }))).rejects.toMatchObject({
      code: "PURSUIT_QUEUE_FULL",
      message: "The rows would be encoded in about 28 ms, and timeout_ms leaves 27 ms.",
    });
    expect(shed).toEqual(["deadline"]);
    const allowed = queue.submit(work("e", 4, { deadline: at + 28 }));
    clock.advance(28);
    await expect(allowed).rejects.toMatchObject({ code: "PURSUIT_TIMEOUT" });
  });

  it("shortens rows that allow it when the wait is long, no others, and as far as the wait needs", async () => {
    const { queue, finish, executor } = setup(4, { degradeMs: 10, maxWaitMs: 50 });
    const keeps = (): number[] => executor.batches.at(-1)!.pieces.map(({ keep }) => keep);
    void queue.submit(work("a", 1, { degrade: true }));
    await settle();
    expect(keeps()).toEqual([1]);
    // 40 of work as asked where 10 may wait.
    const answers = Array.from({ length: 20 }, (_, i) => queue.submit(work(`d${i}.`, 2, { degrade: i % 2 === 0 })));
    expect(queue.predictedWait).toBeCloseTo(1 + 22);
    await finish(1);
    expect(keeps()).toEqual([0, 1, 0]);
    for (let i = 0; i < 30; i++) {
      await finish(1);
      for (const { work: one, keep } of executor.batches.at(-1)!.pieces) if (!one.degrade) expect(keep).toBe(1);
    }
    await Promise.all(answers);
    // The queue has become short: as asked again.
    expect(keeps()).toContain(1);
  });

  it("admits by what shortened rows would take", async () => {
    const { queue, shed, warm } = setup(4, { degradeMs: 10, maxWaitMs: 50 });
    await warm();
    void queue.submit(work("a", 1));
    await settle();
    for (let i = 0; i < 120; i++) void queue.submit(work("d", 4, { degrade: true }));
    // 480 as asked, 48 when shortened.
    expect(shed).toEqual([]);
    expect(queue.predictedWait).toBeCloseTo(49);
    for (let i = 0; i < 3; i++) void queue.submit(work("e", 4, { degrade: true }));
    await expect(queue.submit(work("f", 1, { degrade: true }))).rejects.toMatchObject({ code: "PURSUIT_QUEUE_FULL" });
  });

  it("does not shorten a large request on account of its own rows", async () => {
    const { queue, executor } = setup(4, { degradeMs: 10 });
    void queue.submit(work("L", 400, { degrade: true }));
    await settle();
    expect(executor.batches[0]!.pieces[0]!.keep).toBe(1);
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

  it("holds no cores while the executor restarts", async () => {
    const { executor, lease, queue } = setup();
    const answers = ["a", "b"].map((name) => queue.submit(work(name, 1)));
    await settle();
    const restarted = executor.restart();
    executor.batches[0]!.fail(new ExecutorCrash("boom"));
    await settle();
    let others = 0;
    await holdCores(lease, 1, async () => void others++);
    expect([others, executor.batches]).toEqual([1, [expect.anything()]]);
    // Who comes meanwhile waits, and may still be refused or leave.
    answers.push(queue.submit(work("c", 1)));
    await settle();
    await holdCores(lease, 1, async () => void others++);
    expect([others, executor.batches.length]).toEqual([2, 1]);
    restarted();
    for (let run = 1; run <= 3; run++) {
      await settle();
      executor.batches[run]!.finish();
    }
    expect((await Promise.all(answers)).map(({ results }) => results)).toEqual([[["a0"]], [["b0"]], [["c0"]]]);
    expect(executor.batches.map(({ rows }) => rows)).toEqual(["a0 b0", "a0", "b0", "c0"]);
  });

  it("drains without a restart that nobody waits for any more", async () => {
    const { executor, queue } = setup();
    const restarted = executor.restart();
    const leaving = work("a", 1);
    const gone = expect(queue.submit(leaving)).rejects.toMatchObject({ code: "PURSUIT_CLIENT_CLOSED" });
    await settle();
    leaving.cancellation.cancel();
    await gone;
    await queue.drain();
    restarted();
    await settle();
    expect(executor.batches).toEqual([]);
  });

  it("gives its turn up when the executor ends before it begins", async () => {
    const { executor, lease, queue } = setup();
    const held = createGate();
    const holding = holdCores(lease, 1, () => held.passed);
    const answer = queue.submit(work("a", 1));
    await settle();
    const restarted = executor.restart();
    held.open();
    await holding;
    await holdCores(lease, 1, () => Promise.resolve());
    expect(executor.batches).toEqual([]);
    restarted();
    await settle();
    executor.batches[0]!.finish();
    expect((await answer).results).toEqual([["a0"]]);
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

  describe("whose executor takes a batch while it runs one", () => {
    function ahead() {
      const all = setup(5);
      all.executor.takesAhead = true;
      all.executor.overhead = 1;
      const rows = (): string[] => all.executor.batches.map((batch) => batch.rows);
      const end = async (i: number, milliseconds = 0): Promise<void> => {
        all.clock.advance(milliseconds);
        all.executor.batches[i]!.finish();
        await settle();
      };
      return { ...all, rows, end };
    }

    it("sends the next one there once what waits is worth a run, and one only", async () => {
      const { queue, rows, end } = ahead();
      const answers = [queue.submit(work("a", 1))];
      await settle();
      answers.push(queue.submit(work("b", 1)));
      expect(rows()).toEqual(["a0"]);
      answers.push(queue.submit(work("c", 1)));
      expect(rows()).toEqual(["a0", "b0 c0"]);
      answers.push(queue.submit(work("d", 3)));
      expect(rows()).toHaveLength(2);
      await end(0);
      expect(rows()).toEqual(["a0", "b0 c0", "d0 d1 d2"]);
      await end(1);
      await end(2);
      expect((await Promise.all(answers)).map(({ results }) => results.flat().join(" "))).toEqual([
        "a0",
        "b0",
        "c0",
        "d0 d1 d2",
      ]);
    });

    it("counts what was sent as waited for, and as running from when the one before it ended", async () => {
      const { queue, end } = ahead();
      void queue.submit(work("a", 4));
      await settle();
      void queue.submit(work("b", 4));
      expect(queue.predictedWait).toBe(10);
      // Both are noticed late and at once: together they took as long as they were predicted to, 5 each.
      await Promise.all([end(0, 10), end(1)]);
      void queue.submit(work("c", 4));
      await settle();
      expect(queue.predictedWait).toBeGreaterThan(4);
      expect(queue.predictedWait).toBeLessThan(6);
    });

    it("sends no large piece there while small ones come", async () => {
      const { queue, rows, end, clock } = ahead();
      void queue.submit(work("s", 1));
      await settle();
      void queue.submit(work("L", 40));
      expect(rows()).toEqual(["s0"]);
      await end(0);
      expect(rows()).toEqual(["s0", "L0"]);
      clock.advance(1000);
      await end(1);
      expect(rows().slice(2)).toEqual(["L1 L2 L3 L4", "L5 L6 L7 L8"]);
    });

    it("sends nothing there while another dictionary waits for the cores", async () => {
      const { queue, rows, end, lease } = ahead();
      void queue.submit(work("a", 1));
      await settle();
      let ran = false;
      const other = holdCores(lease, 1, () => Promise.resolve((ran = true)));
      void queue.submit(work("b", 4));
      expect(rows()).toEqual(["a0"]);
      await end(0);
      await other;
      expect(ran).toBe(true);
      expect(rows()).toEqual(["a0", "b0 b1 b2 b3"]);
    });

    it("judges the requests of both one by one when it crashes, and sends nothing meanwhile", async () => {
      const { queue, rows, end, executor } = ahead();
      const a = queue.submit(work("a", 4));
      await settle();
      const others = [work("b", 2), work("c", 2), work("d", 4)].map((one) => queue.submit(one));
      const answers = Promise.allSettled([a, ...others]);
      expect(rows()).toEqual(["a0 a1 a2 a3", "b0 b1"]);
      for (const batch of executor.batches.slice()) batch.fail(new ExecutorCrash("boom"));
      await settle();
      expect(rows().slice(2)).toEqual(["a0 a1 a2 a3"]);
      executor.batches[2]!.fail(new ExecutorCrash("boom"));
      await settle();
      expect(rows().slice(3)).toEqual(["b0 b1"]);
      await end(3);
      expect(rows().slice(4)).toEqual(["c0 c1", "d0 d1 d2 d3"]);
      await end(4);
      await end(5);
      expect(await answers).toMatchObject([
        { reason: { code: "PURSUIT_RUNTIME_CRASHED" } },
        { value: { results: [["b0", "b1"]] } },
        { value: { results: [["c0", "c1"]] } },
        { value: { results: [["d0", "d1", "d2", "d3"]] } },
      ]);
    });
  });

  it("answers every row of every request exactly once, in order, whatever the sizes and crashes", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 12 }),
        fc.integer({ min: 1, max: 9 }),
        fc.array(fc.boolean(), { maxLength: 6 }),
        async (sizes, capacity, crashes) => {
          const { executor, queue, queued } = setup(capacity, { maxWaitMs: Infinity });
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
