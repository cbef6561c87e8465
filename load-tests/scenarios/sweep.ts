import { CODEC_NAMES, CODECS } from "../client/codecs.ts";
import { percentile } from "../client/percentile.ts";
import type { Bench, Measured, Outcome, Scenario } from "../scenario.ts";
import { requestsASecond, rowsASecond } from "./peak.ts";

const CONNECTIONS = 4;
const BUDGETS = [{ max_atoms: 16 }, { max_atoms: 64, tolerance: 0.5 }] as const;
const ROWS = [1, 32, 256];

export const sweep: Scenario = {
  name: "sweep",
  shows: "Rows × codec × budget, four connections that always wait for their answer.",
  measurements: () => BUDGETS.length * CODECS.length * ROWS.length,
  run: sweepAll,
};

async function sweepAll(bench: Bench): Promise<Outcome> {
  const lines: (string | number)[][] = [];
  for (const budget of BUDGETS) {
    for (const codec of CODECS) {
      for (const rows of ROWS) {
        const words = "tolerance" in budget ? `to ${budget.tolerance}, ≤ ${budget.max_atoms}` : `${budget.max_atoms}`;
        const seen = await bench.measure(`sweep, ${words} atoms, ${codec}, ${rows} rows`, {
          rows,
          codec,
          budget,
          connections: CONNECTIONS,
          seconds: bench.seconds / 4,
        });
        const [p50, p99] = [percentile(seen.latencies, 0.5), percentile(seen.latencies, 0.99)];
        lines.push([words, CODEC_NAMES[codec], rows, requestsASecond(seen), rowsASecond(seen), p50, p99, ...mid(seen)]);
      }
    }
  }
  const head = ["budget", "codec", "rows", "requests/s", "rows/s", "p50 ms", "p99 ms", ...STAGES];
  const caption = "The last five columns are medians of server-timing, milliseconds.";
  return { tables: [{ caption, head, lines }], figures: [] };
}

const STAGES = ["decode", "queue", "encode", "write", "total"] as const;

const mid = ({ stages }: Measured): number[] =>
  STAGES.map((stage) =>
    percentile(
      stages.map((one) => one[stage]),
      0.5,
    ),
  );
