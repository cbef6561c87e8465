import { poisson } from "../client/arrivals.ts";
import { percentile } from "../client/percentile.ts";
import type { Bench, Figure, Measured, Outcome, Scenario } from "../scenario.ts";
import { STEPS_16 } from "./peak.ts";

const RATE = 50;

export const singleRow: Scenario = {
  name: "single-row",
  shows: "One binary row at a time: what the server adds to the engine's own time.",
  measurements: () => 3,
  run: measureSingle,
};

const STAGES = ["decode", "queue", "encode", "write", "total"] as const;

async function measureSingle(bench: Bench): Promise<Outcome> {
  const traffic = { rows: 1, codec: "octets", budget: STEPS_16, seconds: bench.seconds } as const;
  const seldom = { ...traffic, connections: 8, arrivals: poisson(RATE) };
  // At fifty a second V8 would still be compiling when this ends; a server that works all day has compiled.
  await bench.measure("single row, warming up", { ...traffic, connections: 8 });
  const kinds = [
    // Between two of these the cores fall asleep, and every thread on the way has to be woken.
    { kind: "fifty a second", seen: await bench.measure("single row, fifty a second", seldom) },
    {
      kind: "one client, back to back",
      seen: await bench.measure("single row, back to back", { ...traffic, connections: 1 }),
    },
  ];
  return {
    tables: [
      {
        caption: "Medians, milliseconds. What the client sees is from the request's sending to the whole answer.",
        head: ["how", "answered", "client", ...STAGES],
        lines: kinds.map(({ kind, seen }) => [
          kind,
          seen.service.length,
          percentile(seen.service, 0.5),
          ...STAGES.map((name) => stage(seen, name)),
        ]),
      },
    ],
    figures: kinds.map(({ kind, seen }) => figureOf(kind, seen)),
  };
}

function figureOf(kind: string, seen: Measured): Figure {
  const p50 = percentile(seen.service, 0.5);
  const encode = stage(seen, "encode");
  const added = p50 - encode;
  return {
    what: `single-row binary p50 at low load (${kind}), beyond the engine's own time`,
    value: added,
    unit: "ms",
    goal: "≤ 1",
    met: added <= 1,
    detail: `${p50.toFixed(2)} ms at the client, ${encode.toFixed(2)} in the engine`,
  };
}

const stage = ({ stages }: Measured, name: "decode" | "queue" | "encode" | "write" | "total"): number =>
  percentile(
    stages.map((one) => one[name]),
    0.5,
  );
