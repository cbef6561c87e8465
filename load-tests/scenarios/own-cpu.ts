import { CODEC_NAMES } from "../client/codecs.ts";
import type { Bench, Figure, Outcome, Scenario } from "../scenario.ts";
import { rowsASecond, STEPS_16 } from "./peak.ts";

const ROWS = 32;
const CONNECTIONS = 16;
const GOALS = [
  ["octets", 15],
  ["json", 60],
] as const;

export const ownCpu: Scenario = {
  name: "own-cpu",
  shows:
    "CPU time of the server process a row, beyond the runtime process's: 32 rows a request, 16 atoms, 16 connections.",
  measurements: () => 2 * GOALS.length,
  run: measureCpu,
};

async function measureCpu(bench: Bench): Promise<Outcome> {
  const figures: Figure[] = [];
  const lines: (string | number)[][] = [];
  for (const [codec, goal] of GOALS) {
    const traffic = {
      rows: ROWS,
      codec,
      budget: STEPS_16,
      connections: CONNECTIONS,
      seconds: bench.seconds,
    } as const;
    // What a server does all day: the first seconds are its compiler's.
    await bench.measure(`own CPU, ${codec}, warming up`, traffic);
    const seen = await bench.measure(`own CPU, ${codec}`, traffic);
    const rows = (seen.statuses.get(200) ?? 0) * ROWS;
    const micro = (of: "serverCpuSeconds" | "runtimeCpuSeconds"): number =>
      ((seen.after[of] - seen.before[of]) * 1e6) / rows;
    const own = micro("serverCpuSeconds");
    lines.push([CODEC_NAMES[codec], rows, rowsASecond(seen), own, micro("runtimeCpuSeconds")]);
    figures.push({
      what: `server's own CPU a row, ${CODEC_NAMES[codec]}`,
      value: own,
      unit: "µs",
      goal: `≤ ${goal}`,
      met: own <= goal,
      detail: `over ${rows} rows; the engine's is ${micro("runtimeCpuSeconds").toFixed(0)}`,
    });
  }
  const head = ["codec", "rows", "rows/s", "server µs/row", "engine µs/row"];
  const caption = "process_cpu_seconds_total of the server (all its threads), /proc of its runtime processes.";
  return { tables: [{ caption, head, lines }], figures };
}
