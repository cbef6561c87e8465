import { poisson } from "../client/arrivals.ts";
import { percentile } from "../client/percentile.ts";
import type { Bench, Measured, Outcome, Scenario } from "../scenario.ts";
import { rowsASecond, STEPS_16 } from "./peak.ts";

const RATE = 100;
const LARGE_ROWS = 10_000;

export const beside: Scenario = {
  name: "beside",
  shows: "Single rows, a hundred a second, alone and beside octet-stream requests of 10,000 rows, one after another.",
  measurements: () => 2,
  run: besideLarge,
};

async function besideLarge(bench: Bench): Promise<Outcome> {
  const single = (seed: number) =>
    ({
      rows: 1,
      codec: "octets",
      budget: STEPS_16,
      connections: 32,
      seconds: bench.seconds,
      arrivals: poisson(RATE, seed),
    }) as const;
  const alone = await bench.measure("beside, single rows alone", single(1));
  const large = {
    rows: LARGE_ROWS,
    codec: "octets",
    budget: STEPS_16,
    connections: 1,
    seconds: bench.seconds,
  } as const;
  const [crowded, others] = await bench.measureBeside("beside, with 10,000-row requests", single(1), large);
  const p99 = ({ latencies }: Measured): number => percentile(latencies, 0.99);
  const ratio = p99(crowded) / p99(alone);
  const line = (what: string, seen: Measured): (string | number)[] => [
    what,
    seen.latencies.length,
    percentile(seen.latencies, 0.5),
    p99(seen),
    percentile(seen.latencies, 1),
    rowsASecond(seen),
  ];
  const lines = [
    line("single rows alone", alone),
    line("single rows beside", crowded),
    line("the 10,000 rows", others),
  ];
  const head = ["", "answered", "p50 ms", "p99 ms", "last ms", "rows/s"];
  return {
    tables: [{ caption: `${RATE} single rows a second.`, head, lines }],
    figures: [
      {
        what: "single-row p99 beside a 10,000-row octet-stream request, over its p99 alone",
        value: ratio,
        unit: "",
        goal: "≤ 3",
        met: ratio <= 3,
        detail: `${p99(crowded).toFixed(1)} ms beside, ${p99(alone).toFixed(1)} ms alone`,
      },
    ],
  };
}
