import { poisson } from "../client/arrivals.ts";
import { mean, percentile } from "../client/percentile.ts";
import type { Bench, Outcome, Scenario } from "../scenario.ts";
import { answeredShare, peak, PEAK_MEASUREMENTS, requestsASecond } from "./peak.ts";

const ROWS = 32;
const STEPS_64 = { max_atoms: 64 } as const;
const LOADS = [0.5, 1, 2, 4];
/** So many that a slow second does not leave the clients without a free one. */
const CONNECTIONS = 768;

export const degrade: Scenario = {
  name: "degrade",
  shows: 'Requests of 64 atoms a row that allow fewer (on_overload: "degrade"), up to 4× what the server can do at 64.',
  measurements: () => PEAK_MEASUREMENTS + LOADS.length,
  run: degraded,
};

async function degraded(bench: Bench): Promise<Outcome> {
  const traffic = { rows: ROWS, codec: "octets", budget: STEPS_64 } as const;
  const most = requestsASecond(await peak(bench, traffic));
  const lines: (string | number)[][] = [];
  let share = 0;
  let unsent = 0;
  for (const load of LOADS) {
    const atoms: number[] = [];
    const errors: number[] = [];
    let shortened = 0;
    const seen = await bench.measure(`degrade, ${load}× the capacity at 64 atoms`, {
      ...traffic,
      on_overload: "degrade",
      connections: CONNECTIONS,
      seconds: bench.seconds,
      arrivals: poisson(most * load),
      onCode: (code) => {
        atoms.push(code.indices.length);
        errors.push(code.relative_error);
        if (code.stop === "degraded") shortened++;
      },
    });
    share = answeredShare(seen);
    unsent = seen.unsent;
    const [p50, p99] = [percentile(seen.latencies, 0.5), percentile(seen.latencies, 0.99)];
    lines.push([load, most * load, share, mean(atoms), mean(errors), shortened / atoms.length, p50, p99]);
  }
  const head = ["load", "offered/s", "share 200", "atoms", "relative error", "shortened", "p50 ms", "p99 ms"];
  const what = "degrade on, 64-atom requests at 4× the capacity at 64: answered 200";
  const detail = `${Math.round(most * LOADS.at(-1)!)} requests of ${ROWS} rows a second offered; ${unsent} in all found no free connection and count as not answered`;
  return {
    tables: [{ caption: "Load 1 is the peak at 64 atoms. Means over rows.", head, lines }],
    figures: [{ what, value: share, unit: "", goal: "≥ 0.95", met: share >= 0.95, detail }],
  };
}
