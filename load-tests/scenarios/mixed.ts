import { CODEC_NAMES } from "../client/codecs.ts";
import { percentile } from "../client/percentile.ts";
import { type Bench, MATCHING_PURSUIT, type Outcome, type Scenario, TOPK } from "../scenario.ts";
import { requestsASecond, rowsASecond, STEPS_16 } from "./peak.ts";

const CONNECTIONS = 8;

export const mixed: Scenario = {
  name: "mixed",
  shows: "Both shipped dictionaries at once: every connection asks them in turn.",
  measurements: () => 12,
  run: mixedLoad,
};

async function mixedLoad(bench: Bench): Promise<Outcome> {
  const lines: (string | number)[][] = [];
  for (const ids of [[MATCHING_PURSUIT], [TOPK], [MATCHING_PURSUIT, TOPK]]) {
    for (const codec of ["octets", "json"] as const) {
      for (const rows of [1, 32]) {
        const seen = await bench.measure(`mixed, ${ids.length} dictionaries, ${codec}, ${rows} rows`, {
          ids,
          rows,
          codec,
          budget: STEPS_16,
          connections: CONNECTIONS,
          seconds: bench.seconds / 2,
        });
        const [p50, p99] = [percentile(seen.latencies, 0.5), percentile(seen.latencies, 0.99)];
        lines.push([ids.join(" + "), CODEC_NAMES[codec], rows, requestsASecond(seen), rowsASecond(seen), p50, p99]);
      }
    }
  }
  const head = ["dictionaries", "codec", "rows", "requests/s", "rows/s", "p50 ms", "p99 ms"];
  return { tables: [{ caption: "Eight connections that always wait for their answer.", head, lines }], figures: [] };
}
