import type { Clock } from "../core/clock.ts";
import { EngineError } from "../core/errors.ts";
import type { ShedReason } from "../core/observer.ts";
import type { Entry } from "./entry.ts";
import type { Piece, Work } from "./executor.ts";
import type { Forecast } from "./forecast.ts";
import type { Lane } from "./lane.ts";
import type { Lanes } from "./lanes.ts";
import type { Prices } from "./prices.ts";

/**
 * How much longer than the limit a request may really wait. A good prediction is off by a few hundredths, and one that is
 * refused at its turn has cost the server most of what an answer costs.
 */
const LEEWAY = 1.05;

/** Rows that run together. */
export interface Batch<W extends Work, R> {
  readonly parts: readonly BatchPart<W, R>[];
  /** Predicted, at the prices that its requests came in with. */
  readonly cost: number;
}

/** A piece, and the request that it is of. */
export interface BatchPart<W extends Work, R> {
  readonly piece: Piece<W>;
  readonly entry: Entry<W, R>;
}

export interface BatchFormerOptions<W extends Work, R> {
  readonly lanes: Lanes<W, R>;
  readonly prices: Prices<W>;
  readonly forecast: Forecast<W, R>;
  readonly clock: Clock;
  /** Milliseconds that a request may wait behind others, some leeway aside, before anything of it has run. */
  readonly maxWait: number;
  readonly onShed: (reason: ShedReason) => void;
  /** So many rows were handed to a batch. */
  readonly onHanded: (rows: number) => void;
}

/**
 * Makes batches of what waits: whole requests of the first lane up to what one batch has room for, or a piece of a
 * larger one, as the lanes' turns have it.
 */
export class BatchFormer<W extends Work, R> {
  readonly #options: BatchFormerOptions<W, R>;

  constructor(options: BatchFormerOptions<W, R>) {
    this.#options = options;
  }

  /** The next batch; null where nothing waits that is still to be served. */
  form(): Batch<W, R> | null {
    const { lanes } = this.#options;
    while (lanes.rows > 0) {
      const batch = this.#takeFrom(lanes.next());
      if (batch.parts.length > 0) return batch;
    }
    return null;
  }

  #takeFrom(lane: Lane<W, R>): Batch<W, R> {
    const { lanes, prices, forecast } = this.#options;
    const parts: BatchPart<W, R>[] = [];
    const isSmall = lane === lanes.small;
    const keep = forecast.keepOf(lane);
    // A row that costs more than there is room for is taken all the same, and the lane sits out turns for it.
    const room = isSmall ? prices.room : Math.min(lane.credit, prices.room);
    let [used, cost] = [0, 0];
    for (let entry = this.#headOf(lane); entry !== undefined; entry = this.#headOf(lane)) {
      const { work, taken } = entry;
      const kept = work.degrade ? keep : 1;
      const [fits, price] = prices.fit(work, taken, room - used, kept);
      const rows = fits === 0 && parts.length === 0 ? 1 : fits;
      if (isSmall && rows < work.count) {
        if (parts.length > 0) break;
        // Prices have risen since it came, and it no longer fits one batch.
        lanes.moveOn(entry);
        continue;
      }
      if (rows === 0) break;
      used += fits === 0 ? prices.of(work, taken, taken + 1, kept) : price;
      cost += lane.hand(entry, rows, kept);
      parts.push({ piece: { work, from: taken, to: taken + rows, keep: kept }, entry });
      this.#options.onHanded(rows);
      if (entry.place !== null) break;
    }
    lane.credit = lane.head === undefined ? 0 : lane.credit - used;
    return { parts, cost };
  }

  /**
   * The lane's first request, after those that have waited longer than anybody may: predictions are kept by what a
   * machine goes on to do, and when it does less, late answers to all would help nobody.
   */
  #headOf(lane: Lane<W, R>): Entry<W, R> | undefined {
    const { clock, maxWait, onShed, forecast } = this.#options;
    for (let entry = lane.head; entry !== undefined; entry = lane.head) {
      const waited = clock.now() - entry.submitted;
      if (!entry.behindOthers || entry.started !== null || waited <= maxWait * LEEWAY) return entry;
      onShed("queue_full");
      const message = `The rows have waited ${Math.ceil(waited)} ms, and the limit is ${maxWait} ms: work took longer than it was predicted to.`;
      entry.fail(new EngineError("PURSUIT_QUEUE_FULL", message, { retryAfter: forecast.waitOf(lane) / 1000 }));
    }
    return undefined;
  }
}
