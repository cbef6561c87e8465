import type { Codec } from "../client/codecs.ts";
import type { Bench, Measured, Traffic } from "../scenario.ts";

/** What the figures are about: 16 atoms a row. */
export const STEPS_16 = { max_atoms: 16 } as const;

/** Connections that keep the engine busy, each sending as soon as it is answered: with fewer it waits now and then. */
const CONNECTIONS = 24;

/**
 * The best of so many counts. In the first 15 s or so Node still compiles what is often called, and the server does three
 * quarters of what it does afterwards: measured by that, four times the peak is three times, and any share of it looks good.
 */
export const PEAK_MEASUREMENTS = 3;

/** Rows and requests a second that the server answers when clients always wait for it. */
export async function peak(bench: Bench, traffic: Omit<Traffic, "connections" | "seconds">): Promise<Measured> {
  const title = `peak, ${traffic.rows} rows, ${traffic.codec satisfies Codec}`;
  const measured: Measured[] = [];
  for (let i = 0; i < PEAK_MEASUREMENTS; i++)
    measured.push(await bench.measure(title, { ...traffic, connections: CONNECTIONS, seconds: bench.seconds }));
  return measured.reduce((best, one) => (rowsASecond(one) > rowsASecond(best) ? one : best));
}

export const rowsASecond = ({ goodRows, seconds }: Measured): number => goodRows / seconds;
export const requestsASecond = ({ goodRequests, seconds }: Measured): number => goodRequests / seconds;

/** Of all that was due, the share that was answered 200. */
export function answeredShare({ statuses, sent, unsent }: Measured): number {
  return (statuses.get(200) ?? 0) / (sent + unsent);
}
