import { median } from "./in-turn.ts";
import { repeatsOf } from "./repeated-call.ts";
import type { Baseline, BaselineCodes, BaselineProcess } from "./baseline-process.ts";

/** Steps by which the batches are compared before the rounds: each costs as much as any later one. */
const PROBE_STEPS = 4;

export interface BaselineTask {
  /** Holds the dictionary and rows for every batch, as tools/baselines/baselines.py takes them. */
  readonly file: string;
  readonly device: "cpu" | "cuda";
  readonly threads: number;
  readonly steps: number;
  /** Ours. */
  readonly batch: number;
  /** Other batches of which the one that suits it best is timed too. */
  readonly otherBatches: readonly number[];
  /** Seconds of one call beyond which a larger batch is left out. */
  readonly longestCall: number;
}

/** One batch at which a baseline is timed. */
export interface BaselineEntry {
  readonly batch: number;
  /** Of the first min(batch, our batch) rows. */
  readonly codes: BaselineCodes;
  /** Median microseconds a row of the calls of one turn. */
  readonly time: () => Promise<number>;
  /** Of one call, as first seen. */
  readonly seconds: number;
}

/** A baseline warmed up on a shape: at our batch, and at the one that suits it best where that is another. */
export async function baselineAtShape(
  process: BaselineProcess,
  baseline: Baseline,
  task: BaselineTask,
): Promise<{ readonly entries: readonly BaselineEntry[]; readonly notes: readonly string[] }> {
  const { file, device, threads, steps, batch } = task;
  await process.ask({ file, device, threads });
  const entry = async (rows: number): Promise<BaselineEntry> => {
    const request = { baseline, steps, batch: rows };
    // The first call compiles; it must not tell how long one takes.
    if (baseline === "torch.compile") await process.ask<BaselineCodes>({ ...request, repeats: 1 });
    const codes = await process.ask<BaselineCodes>({ ...request, repeats: 1, codes: Math.min(rows, batch) });
    const seconds = (codes.us_per_row[0]! * rows) / 1e6;
    const repeats = repeatsOf(seconds);
    const time = async (): Promise<number> =>
      median((await process.ask<BaselineCodes>({ ...request, repeats })).us_per_row);
    return { batch: rows, codes, time, seconds };
  };
  const ours = await entry(batch);
  // Every other batch would be compiled anew.
  if (baseline === "torch.compile" || task.otherBatches.length === 0) return { entries: [ours], notes: [] };

  const notes: string[] = [];
  const probed = new Map<number, number>();
  for (const rows of new Set([batch, ...task.otherBatches])) {
    const asked = { baseline, steps: Math.min(PROBE_STEPS, steps), batch: rows, repeats: 3 };
    probed.set(rows, Math.min(...(await process.ask<BaselineCodes>(asked)).us_per_row));
  }
  const base = probed.get(batch)!;
  let best = batch;
  for (const [rows, us] of probed) {
    if (us >= probed.get(best)!) continue;
    const seconds = ours.seconds * (us / base) * (rows / batch);
    if (seconds <= task.longestCall) best = rows;
    else notes.push(leftOut(baseline, rows, seconds, `${(us / base).toFixed(2)} of its time at ${batch}`));
  }
  return { entries: best === batch ? [ours] : [ours, await entry(best)], notes };
}

function leftOut(baseline: Baseline, rows: number, seconds: number, share: string): string {
  return `${baseline} at batch ${rows} left out, a call would take ${seconds.toFixed(0)} s; over ${PROBE_STEPS} steps a row took ${share}`;
}
