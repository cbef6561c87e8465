import { median } from "./in-turn.ts";

/** A turn lasts about so long: shorter calls are repeated, and their median is the turn's figure. */
const TURN_SECONDS = 0.2;
const MOST_REPEATS = 50;

/** Calls of one turn, where one takes so many seconds. */
export const repeatsOf = (seconds: number): number =>
  Math.min(MOST_REPEATS, Math.max(1, Math.round(TURN_SECONDS / seconds)));

/** A call that is timed by turns. */
export interface RepeatedCall {
  /** Median microseconds a row of the calls of one turn. */
  readonly measure: () => Promise<number>;
  /** Of one turn. */
  readonly seconds: number;
}

/** A call that has been made before, repeated so that a turn lasts a while. */
export async function repeatedCall(batch: number, call: () => Promise<unknown>): Promise<RepeatedCall> {
  const once = async (): Promise<number> => {
    const started = performance.now();
    await call();
    return (performance.now() - started) / 1000;
  };
  const seconds = await once();
  const repeats = repeatsOf(seconds);
  const measure = async (): Promise<number> => {
    const taken: number[] = [];
    for (let i = 0; i < repeats; i++) taken.push(await once());
    return (median(taken) * 1e6) / batch;
  };
  return { measure, seconds: seconds * repeats };
}
