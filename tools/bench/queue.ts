/**
 * What queueing itself costs, without anything that executes: the ring beside the Set that it took the place of, and a
 * request's way through the batch queue, answered and refused.
 *
 *     npx tsx tools/bench/queue.ts
 */
import { Cancellation } from "../../src/engine/core/cancellation.ts";
import { systemClock } from "../../src/engine/core/clock.ts";
import { BatchQueue } from "../../src/engine/scheduler/batch-queue.ts";
import { CoreLease } from "../../src/engine/scheduler/core-lease.ts";
import type { Executor, Work } from "../../src/engine/scheduler/executor.ts";
import { Ring } from "../../src/engine/scheduler/ring.ts";

const ROUNDS = 20_000;

/** Nanoseconds of one operation: the best of three. */
function time(operations: number, run: () => void): number {
  let best = Infinity;
  for (let i = 0; i < 3; i++) {
    const started = performance.now();
    run();
    best = Math.min(best, ((performance.now() - started) * 1e6) / operations);
  }
  return best;
}

interface Item {
  ticket: number;
}

/** One in, one out at the head, with that many waiting. */
function ring(waiting: number): number {
  const queue = new Ring<Item>();
  for (let i = 0; i < waiting; i++) queue.push({ ticket: 0 });
  return time(ROUNDS, () => {
    for (let i = 0; i < ROUNDS; i++) {
      const item = queue.shift()!;
      item.ticket = queue.push(item);
    }
  });
}

function set(waiting: number): number {
  const queue = new Set<Item>();
  for (let i = 0; i < waiting; i++) queue.add({ ticket: 0 });
  return time(ROUNDS, () => {
    for (let i = 0; i < ROUNDS; i++) {
      const item = queue.values().next().value!;
      queue.delete(item);
      queue.add(item);
    }
  });
}

console.log("one out at the head and one in, ns      ring     Set");
for (const waiting of [1, 100, 1000, 10_000]) {
  console.log(
    `${String(waiting).padStart(9)} waiting ${ring(waiting).toFixed(0).padStart(24)} ${set(waiting).toFixed(0).padStart(7)}`,
  );
}

/** Answers at once; its rows are predicted to take so long. */
const executor = (cost: number): Executor<Work, number> => ({
  cores: 1,
  capacity: 10,
  overhead: 0.1,
  takesAhead: true,
  ready: () => null,
  rowCost: () => cost,
  run: (pieces) => Promise.resolve(pieces.map(({ to }) => to)),
});
const queueOf = (cost: number, maxRows = Infinity) =>
  new BatchQueue<Work, number>({
    executor: executor(cost),
    lease: new CoreLease(1, systemClock),
    clock: systemClock,
    maxWait: 1000,
    maxRows,
    degradeWait: 100,
    onShed: () => {},
    onQueued: () => {},
  });
const work = (): Work => ({ count: 32, uniform: true, cancellation: new Cancellation() });

const answered = 20_000;
const open = queueOf(0.001);
const started = performance.now();
for (let i = 0; i < answered; i += 200) await Promise.all(Array.from({ length: 200 }, () => open.submit(work())));
console.log(
  `\na request of 32 rows queued, batched and answered: ${(((performance.now() - started) * 1e3) / answered).toFixed(2)} µs`,
);

const full = queueOf(1, 1);
void full.submit(work());
void full.submit(work()).catch(() => {});
let refusals = 0;
const refuse = (): void => {
  try {
    full.admit();
  } catch {
    refusals++;
  }
};
const each = time(20_000, () => {
  for (let i = 0; i < 20_000; i++) refuse();
});
console.log(`a request refused before its body is read: ${(each / 1e3).toFixed(2)} µs (${refusals} refused)`);
