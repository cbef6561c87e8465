import { cpus } from "node:os";
import { setTimeout as wait } from "node:timers/promises";

/** Above this share of the cores a figure is not worth keeping: PyTorch's spinning threads suffer first and most. */
export const QUIET = 0.1;

/** The share of all cores in use over the next milliseconds, while this process itself does nothing. */
export async function busyShare(milliseconds = 500): Promise<number> {
  const before = times();
  await wait(milliseconds);
  const after = times();
  const total = after.total - before.total;
  return total > 0 ? 1 - (after.idle - before.idle) / total : 0;
}

function times(): { idle: number; total: number } {
  let [idle, total] = [0, 0];
  for (const { times: one } of cpus()) {
    idle += one.idle;
    total += one.idle + one.user + one.sys + one.irq + one.nice;
  }
  return { idle, total };
}
