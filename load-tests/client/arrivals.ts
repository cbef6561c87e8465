import { random } from "../../test/support/seeded.ts";

/** Milliseconds after the start at which requests are due, ascending, without an end. */
export type Arrivals = Iterator<number, never>;

/** Independent clients: exponential gaps, seeded. @param rate requests a second */
export function* poisson(rate: number, seed = 1): Generator<number, never> {
  const { next } = random(seed);
  for (let at = 0; ;) {
    at += (-Math.log(1 - next()) * 1000) / rate;
    yield at;
  }
}

/** `size` requests at once, every `every` milliseconds. */
export function* bursts(size: number, every: number): Generator<number, never> {
  for (let at = 0; ; at += every) for (let i = 0; i < size; i++) yield at;
}
