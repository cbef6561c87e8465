import { poisson } from "../client/arrivals.ts";
import { CODEC_NAMES } from "../client/codecs.ts";
import { percentile } from "../client/percentile.ts";
import type { Bench, Outcome, Scenario } from "../scenario.ts";
import { peak, PEAK_MEASUREMENTS, requestsASecond, STEPS_16 } from "./peak.ts";

const ROWS = 32;
/** Open connections: many clients, each with one request at a time. */
const CONNECTIONS = 128;
const SHARES = [0.2, 0.4, 0.6, 0.75, 0.9, 1, 1.2];
const FEW_SHARES = [0.25, 0.5, 0.75, 0.95, 1.2];

export const steady: Scenario = {
  name: "steady",
  shows: "Throughput and latency against offered load: independent clients, 32 rows a request, 16 atoms.",
  env: { PURSUIT_MAX_WAIT_MS: "500" },
  measurements: (quick) => 2 * (PEAK_MEASUREMENTS + (quick ? FEW_SHARES : SHARES).length),
  run: steadyLoad,
};

async function steadyLoad(bench: Bench): Promise<Outcome> {
  const lines: (string | number)[][] = [];
  const chart = [];
  for (const codec of ["octets", "json"] as const) {
    const traffic = { rows: ROWS, codec, budget: STEPS_16 };
    const most = requestsASecond(await peak(bench, traffic));
    const points = [];
    for (const share of bench.quick ? FEW_SHARES : SHARES) {
      const offered = most * share;
      const title = `steady, ${codec}, ${Math.round(share * 100)} % of peak`;
      const seen = await bench.measure(title, {
        ...traffic,
        connections: CONNECTIONS,
        seconds: bench.seconds,
        arrivals: poisson(offered),
      });
      const [p50, p99] = [percentile(seen.latencies, 0.5), percentile(seen.latencies, 0.99)];
      const refused = [...seen.statuses].reduce((sum, [status, count]) => (status === 200 ? sum : sum + count), 0);
      const throughput = requestsASecond(seen);
      points.push({ offered, throughput, p50, p99 });
      lines.push([CODEC_NAMES[codec], offered, throughput, throughput * ROWS, p50, p99, refused / (seen.sent || 1)]);
    }
    chart.push({ name: CODEC_NAMES[codec], points });
  }
  const head = ["codec", "offered/s", "answered/s", "rows/s", "p50 ms", "p99 ms", "refused"];
  const caption =
    "Latencies of answers 200, from when a request was due. Arrivals are Poisson; over the peak the wait is bounded by PURSUIT_MAX_WAIT_MS = 500.";
  return { tables: [{ caption, head, lines }], figures: [], chart };
}
