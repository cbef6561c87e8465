import { poisson } from "../client/arrivals.ts";
import { percentile } from "../client/percentile.ts";
import type { Bench, Measured, Outcome, Scenario } from "../scenario.ts";
import { STEPS_16 } from "./peak.ts";

const RATE = 50;

export const singleRow: Scenario = {
  name: "single-row",
  shows: "One binary row at a time, fifty a second: what the server adds to the engine's own time.",
  measurements: () => 1,
  run: measureSingle,
};

async function measureSingle(bench: Bench): Promise<Outcome> {
  const seen = await bench.measure("single row, octets", {
    rows: 1,
    codec: "octets",
    budget: STEPS_16,
    connections: 8,
    seconds: bench.seconds,
    arrivals: poisson(RATE),
  });
  const p50 = percentile(seen.service, 0.5);
  const encode = stage(seen, "encode");
  const added = p50 - encode;
  const stages = ["decode", "queue", "encode", "write", "total"] as const;
  return {
    tables: [
      {
        caption: "Medians, milliseconds. What the client sees is from the request's sending to the whole answer.",
        head: ["answered", "client", ...stages],
        lines: [[seen.service.length, p50, ...stages.map((name) => stage(seen, name))]],
      },
    ],
    figures: [
      {
        what: "single-row binary p50 at low load, beyond the engine's own time",
        value: added,
        unit: "ms",
        goal: "≤ 1",
        met: added <= 1,
        detail: `${p50.toFixed(2)} ms at the client, ${encode.toFixed(2)} in the engine`,
      },
    ],
  };
}

const stage = ({ stages }: Measured, name: "decode" | "queue" | "encode" | "write" | "total"): number =>
  percentile(
    stages.map((one) => one[name]),
    0.5,
  );
