import { Histogram, type HistogramConfiguration, type MetricValueWithName } from "prom-client";

interface Tally {
  /** [buckets + 1] values up to each bound and over the one before; the last: over all. */
  readonly counts: Float64Array;
  sum: number;
}

interface TallyHistogramConfiguration extends HistogramConfiguration<string> {
  readonly labelNames: [string] | [string, string];
  /** Ascending. */
  readonly buckets: number[];
}

interface Values {
  readonly name: string;
  readonly help: string;
  readonly type: "histogram";
  readonly aggregator: "sum";
  readonly values: readonly MetricValueWithName<string>[];
}

/**
 * A histogram with one label or two for what happens often: every row, every stage of a request. prom-client checks and hashes the
 * labels of each value, which for rows costs more than writing their codes; here that is left to the scrape.
 */
export class TallyHistogram extends Histogram {
  readonly #configuration: TallyHistogramConfiguration;
  /** The first label's value → the second's, undefined where there is none → tally. */
  readonly #tallies = new Map<string, Map<string | undefined, Tally>>();

  constructor(configuration: TallyHistogramConfiguration) {
    super(configuration);
    this.#configuration = configuration;
  }

  /** Takes a value under a value of each label. */
  tally(first: string, value: number, second?: string): void {
    const { buckets: bounds } = this.#configuration;
    const tally = this.start(first, second);
    let at = 0;
    while (at < bounds.length && value > bounds[at]!) at++;
    tally.counts[at]!++;
    tally.sum += value;
  }

  /** Shows a series before its first value. */
  start(first: string, second?: string): Tally {
    let tallies = this.#tallies.get(first);
    if (tallies === undefined) this.#tallies.set(first, (tallies = new Map()));
    let tally = tallies.get(second);
    if (tally === undefined) {
      tally = { counts: new Float64Array(this.#configuration.buckets.length + 1), sum: 0 };
      tallies.set(second, tally);
    }
    return tally;
  }

  /** What a registry and `get` ask. Buckets are cumulative (Prometheus' text format). */
  async getForPromString(): Promise<Values> {
    const { name, help, labelNames, buckets: bounds } = this.#configuration;
    const values: MetricValueWithName<string>[] = [];
    const [label, another] = labelNames;
    const all = [...this.#tallies].flatMap(([first, tallies]) =>
      Array.from(tallies, ([second, tally]) => ({ first, second, tally })),
    );
    for (const { first, second, tally } of all) {
      const { counts, sum } = tally;
      const labels = { [label]: first, ...(another !== undefined && { [another]: second! }) };
      let count = 0;
      for (const [i, one] of counts.entries()) {
        count += one;
        const le = bounds[i] ?? "+Inf";
        values.push({ metricName: `${name}_bucket`, labels: { le, ...labels }, value: count });
      }
      values.push({ metricName: `${name}_sum`, labels, value: sum });
      values.push({ metricName: `${name}_count`, labels, value: count });
    }
    return { name, help, type: "histogram", aggregator: "sum", values };
  }
}
