/** Prometheus' text format, as far as the page reads it, and figures between two readings. */

/** Value by name and labels: `pursuit_stops_total{dictionary="a",stop="max_atoms"}`. */
export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export function parseMetrics(text: string): Sample[] {
  return text.split("\n").flatMap((line) => {
    const [, name, labels = "", value] = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/.exec(line) ?? [];
    if (name === undefined || value === undefined) return [];
    const pairs = [...labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, key, raw]) => [
      key!,
      raw!.replaceAll(/\\(.)/g, (_, char: string) => (char === "n" ? "\n" : char)),
    ]);
    return [
      {
        name,
        labels: Object.fromEntries(pairs) as Record<string, string>,
        value: value === "+Inf" ? Infinity : Number(value),
      },
    ];
  });
}

/** A reading of the metrics. */
export interface Reading {
  /** Seconds of the page's clock. */
  readonly at: number;
  readonly samples: readonly Sample[];
}

const matches = ({ name, labels }: Sample, wanted: string, given: Readonly<Record<string, string>>): boolean =>
  name === wanted && Object.entries(given).every(([key, value]) => labels[key] === value);

/** Sum over all samples of a name whose labels are these. */
export const sumOf = ({ samples }: Reading, name: string, labels: Readonly<Record<string, string>> = {}): number =>
  samples.reduce((sum, sample) => (matches(sample, name, labels) ? sum + sample.value : sum), 0);

/** Growth of a counter per second; 0 where the server has started anew in between. */
export const rateOf = (
  before: Reading,
  now: Reading,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): number => Math.max(0, sumOf(now, name, labels) - sumOf(before, name, labels)) / Math.max(now.at - before.at, 1e-3);

/** Sums of a counter by one of its labels, the largest first; zeros are left out. */
export function byLabel({ samples }: Reading, name: string, label: string): (readonly [string, number])[] {
  const sums = new Map<string, number>();
  for (const sample of samples) {
    const key = sample.name === name ? sample.labels[label] : undefined;
    if (key !== undefined) sums.set(key, (sums.get(key) ?? 0) + sample.value);
  }
  return [...sums].filter(([, sum]) => sum > 0).toSorted(([, a], [, b]) => b - a);
}

/** Quantile of what a histogram counted between two readings, as Prometheus' histogram_quantile; null without any. */
export function quantileOf(
  before: Reading,
  now: Reading,
  name: string,
  labels: Readonly<Record<string, string>>,
  quantile: number,
): number | null {
  const bounds = [
    ...new Set(now.samples.flatMap((sample) => (matches(sample, `${name}_bucket`, labels) ? [boundOf(sample)] : []))),
  ].toSorted((a, b) => a - b);
  const counted = bounds.map((le) => {
    const bucket = { ...labels, le: le === Infinity ? "+Inf" : String(le) };
    return sumOf(now, `${name}_bucket`, bucket) - sumOf(before, `${name}_bucket`, bucket);
  });
  const all = counted.at(-1) ?? 0;
  if (all <= 0) return null;
  const at = counted.findIndex((count) => count >= quantile * all);
  const [upper, lower] = [bounds[at]!, at === 0 ? 0 : bounds[at - 1]!];
  if (upper === Infinity) return lower;
  const below = at === 0 ? 0 : counted[at - 1]!;
  return lower + ((upper - lower) * (quantile * all - below)) / Math.max(counted[at]! - below, 1e-12);
}

const boundOf = ({ labels }: Sample): number => (labels["le"] === "+Inf" ? Infinity : Number(labels["le"]));
