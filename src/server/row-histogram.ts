import { Histogram, type HistogramConfiguration, type MetricValueWithName } from "prom-client";

interface Tally {
  /** [buckets + 1] values up to each bound and over the one before; the last: over all. */
  readonly counts: Float64Array;
  sum: number;
}

interface Values {
  readonly name: string;
  readonly help: string;
  readonly type: "histogram";
  readonly aggregator: "sum";
  readonly values: readonly MetricValueWithName<string>[];
}

/**
 * A histogram with one label that takes a value for every row. prom-client checks and hashes the labels of each value,
 * which for rows costs more than writing their codes; here that is done once a batch, and the rest at the scrape.
 */
export class RowHistogram extends Histogram {
  readonly #configuration: HistogramConfiguration<string>;
  readonly #label: string;
  readonly #bounds: readonly number[];
  readonly #tallies = new Map<string, Tally>();

  /** @param buckets ascending */
  constructor(configuration: HistogramConfiguration<string> & { readonly buckets: number[] }, label: string) {
    super({ ...configuration, labelNames: [label] });
    this.#configuration = configuration;
    this.#label = label;
    this.#bounds = configuration.buckets;
  }

  /** Takes values of rows under a value of the label. */
  rowsOf(label: string): (value: number) => void {
    const bounds = this.#bounds;
    let tally = this.#tallies.get(label);
    if (tally === undefined) {
      tally = { counts: new Float64Array(bounds.length + 1), sum: 0 };
      this.#tallies.set(label, tally);
    }
    const into = tally;
    return (value) => {
      let at = 0;
      while (at < bounds.length && value > bounds[at]!) at++;
      into.counts[at]!++;
      into.sum += value;
    };
  }

  /** What a registry and `get` ask. Buckets are cumulative (Prometheus' text format). */
  async getForPromString(): Promise<Values> {
    const { name, help } = this.#configuration;
    const values: MetricValueWithName<string>[] = [];
    for (const [label, { counts, sum }] of this.#tallies) {
      const labels = { [this.#label]: label };
      let count = 0;
      for (const [i, one] of counts.entries()) {
        count += one;
        const le = this.#bounds[i] ?? "+Inf";
        values.push({ metricName: `${name}_bucket`, labels: { le, ...labels }, value: count });
      }
      values.push({ metricName: `${name}_sum`, labels, value: sum });
      values.push({ metricName: `${name}_count`, labels, value: count });
    }
    return { name, help, type: "histogram", aggregator: "sum", values };
  }
}
