import type { Stage } from "../../engine/core/telemetry.ts";
import { VERSION } from "./v2-route.ts";

/** Batches of one size run by a dictionary's runtime. */
export interface Executions {
  /** Rows per batch. */
  readonly rows: number;
  readonly count: number;
  /** Of all of them. */
  readonly seconds: number;
}

/** The protocol's pair, in nanoseconds. Both are integers, because its clients parse them as such. */
interface Duration {
  count: number;
  ns: number;
}

interface Counts {
  rows: number;
  /** Milliseconds since 1970. */
  last: number;
  readonly success: Duration;
  readonly fail: Duration;
  readonly queue: Duration;
  readonly compute_input: Duration;
  readonly compute_infer: Duration;
  readonly compute_output: Duration;
}

const none = (): Duration => ({ count: 0, ns: 0 });

function add(duration: Duration, milliseconds: number): void {
  duration.count++;
  duration.ns += Math.round(milliseconds * 1e6);
}

/** Counts inference requests for the statistics extension, cumulative since the start, across loads. */
export class InferStatistics {
  readonly #counts = new Map<string, Counts>();

  /** @param times milliseconds of the stages of an answered request, and of all of it */
  succeeded(model: string, rows: number, times: Partial<Record<Stage, number>>, total: number): void {
    const { queue = 0, decode = 0, encode = 0, write = 0 } = times;
    const counts = this.#of(model);
    counts.rows += rows;
    counts.last = Date.now();
    add(counts.success, total);
    add(counts.queue, queue);
    add(counts.compute_input, decode);
    add(counts.compute_infer, encode);
    add(counts.compute_output, write);
  }

  failed(model: string, milliseconds: number): void {
    add(this.#of(model).fail, milliseconds);
  }

  /** One entry of `model_stats`, always with every key that perf_analyzer parses. */
  describe(model: string, executions: readonly Executions[]): object {
    const { rows, last, ...durations } = this.#counts.get(model) ?? fresh();
    return {
      name: model,
      version: VERSION,
      last_inference: last,
      inference_count: rows,
      execution_count: executions.reduce((sum, { count }) => sum + count, 0),
      inference_stats: { ...durations, cache_hit: none(), cache_miss: none() },
      response_stats: {},
      batch_stats: executions.map(({ rows: size, count, seconds }) => ({
        batch_size: size,
        compute_input: none(),
        compute_infer: { count, ns: Math.round(seconds * 1e9) },
        compute_output: none(),
      })),
      memory_usage: [],
    };
  }

  #of(model: string): Counts {
    let counts = this.#counts.get(model);
    if (counts === undefined) this.#counts.set(model, (counts = fresh()));
    return counts;
  }
}

const fresh = (): Counts => ({
  rows: 0,
  last: 0,
  success: none(),
  fail: none(),
  queue: none(),
  compute_input: none(),
  compute_infer: none(),
  compute_output: none(),
});
