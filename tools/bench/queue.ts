/**
 * What queueing itself costs, without anything that executes: a request's way through the batch queue, answered and refused.
 *
 *     npx tsx tools/bench/queue.ts
 */
import { Cancellation } from "../../src/engine/core/cancellation.ts";
import { systemClock } from "../../src/engine/core/clock.ts";
import { BatchQueue } from "../../src/engine/scheduler/batch-queue.ts";
import { CoreLease } from "../../src/engine/scheduler/core-lease.ts";
import type { Executor, Work } from "../../src/engine/scheduler/work.ts";

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
    maxWaitMs: 1000,
    maxRows,
    degradeMs: 100,
    onShed: () => {},
    onQueued: () => {},
  });
const work = (): Work => ({ count: 32, uniform: true, cancellation: new Cancellation() });

const answered = 20_000;
const open = queueOf(0.001);
const started = performance.now();
for (let i = 0; i < answered; i += 200) await Promise.all(Array.from({ length: 200 }, () => open.submit(work())));
console.log(
  `a request of 32 rows queued, batched and answered: ${(((performance.now() - started) * 1e3) / answered).toFixed(2)} µs`,
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
