import { Counter, type CounterConfiguration } from "prom-client";

/** One label or two. */
interface TallyCounterConfiguration extends CounterConfiguration<string> {
  readonly labelNames: [string] | [string, string];
}

/** A counter for what happens at every request. prom-client checks and hashes the labels of each count: here at the scrape. */
export class TallyCounter {
  /** The first label's value → the second's, undefined where there is none → count. */
  readonly #counts = new Map<string, Map<string | number | undefined, number>>();

  constructor(configuration: TallyCounterConfiguration) {
    const [one, another] = configuration.labelNames;
    const counts = this.#counts;
    // The registry that it is registered in keeps it.
    new Counter({
      ...configuration,
      collect() {
        this.reset();
        for (const [first, seconds] of counts)
          for (const [second, count] of seconds)
            this.inc({ [one]: first, ...(another !== undefined && { [another]: second! }) }, count);
      },
    });
  }

  /** Counts so many more under a value of each label. */
  tally(first: string, second?: string | number, more = 1): void {
    let counts = this.#counts.get(first);
    if (counts === undefined) this.#counts.set(first, (counts = new Map()));
    counts.set(second, (counts.get(second) ?? 0) + more);
  }
}
