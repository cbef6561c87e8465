import { bursts } from "../client/arrivals.ts";
import { CODEC_NAMES } from "../client/codecs.ts";
import { percentile } from "../client/percentile.ts";
import type { Bench, Outcome, Scenario } from "../scenario.ts";
import { STEPS_16 } from "./peak.ts";

const EVERY_MS = 500;
/** Codec, rows of a request, requests at once. */
const BURSTS = [
  ["octets", 1, 100],
  ["json", 1, 100],
  ["octets", 32, 20],
  ["json", 32, 20],
] as const;

export const burst: Scenario = {
  name: "burst",
  shows: "Many clients at the same moment, twice a second, and nothing in between.",
  measurements: () => BURSTS.length,
  run: burstLoad,
};

async function burstLoad(bench: Bench): Promise<Outcome> {
  const lines: (string | number)[][] = [];
  for (const [codec, rows, size] of BURSTS) {
    const seen = await bench.measure(`burst, ${size} × ${rows} rows, ${codec}`, {
      rows,
      codec,
      budget: STEPS_16,
      connections: size,
      seconds: bench.seconds,
      arrivals: bursts(size, EVERY_MS),
    });
    const at = (share: number): number => percentile(seen.latencies, share);
    lines.push([CODEC_NAMES[codec], rows, size, at(0.5), at(0.99), at(1), seen.statuses.get(200) ?? 0, seen.sent]);
  }
  const head = ["codec", "rows", "at once", "p50 ms", "p99 ms", "last ms", "answered", "sent"];
  return { tables: [{ caption: "Latencies from the burst's moment.", head, lines }], figures: [] };
}
