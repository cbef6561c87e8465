import { availableParallelism } from "node:os";
import { join } from "node:path";
import { percentile } from "../client/percentile.ts";
import { type Bench, type Figure, MATCHING_PURSUIT, type Measured, type Outcome, type Scenario } from "../scenario.ts";
import { checkPython, startRival } from "../server/rival-server.ts";
import { requestsASecond, STEPS_16 } from "./peak.ts";

/** The same for all: JSON bodies, connections that always wait for their answer. `batch` is the rivals' own, requests. */
const SHAPES = [
  { rows: 1, connections: 64, batch: 64 },
  { rows: 32, connections: 16, batch: 8 },
] as const;
const RIVALS = [
  { name: "LitServe + PyTorch", script: "litserve_server.py" },
  { name: "FastAPI + PyTorch", script: "fastapi_server.py" },
] as const;
const BATCH_TIMEOUT_MS = 5;
const WARM_SECONDS = 2;
const GOAL = 10;

/** @param python that has the packages of tools/rivals */
export const rivals = (python: string, modelsDir: string): Scenario => ({
  name: "rivals",
  shows: `JSON requests of 16 atoms a row against LitServe and FastAPI around overcomplete's MpSAE on PyTorch, all cores for each, batching on (${BATCH_TIMEOUT_MS} ms), one after another on the same machine.`,
  measurements: () => SHAPES.length * (1 + 2 * RIVALS.length),
  run: (bench) => compete(bench, python, modelsDir),
});

async function compete(bench: Bench, python: string, modelsDir: string): Promise<Outcome> {
  await checkPython(python);
  const lines: (string | number)[][] = [];
  const figures: Figure[] = [];
  for (const { rows, connections, batch } of SHAPES) {
    const traffic = { rows, codec: "json", budget: STEPS_16, connections, seconds: bench.seconds } as const;
    const ours = await bench.measure(`rivals, Pursuit, ${rows} rows`, traffic);
    lines.push(lineOf("Pursuit", rows, connections, ours, ours));
    for (const { name, script } of RIVALS) {
      const rival = await startRival({
        python,
        script,
        folder: join(modelsDir, MATCHING_PURSUIT),
        steps: STEPS_16.max_atoms,
        threads: availableParallelism(),
        batch,
        timeoutMs: BATCH_TIMEOUT_MS,
      });
      try {
        const title = `rivals, ${name}, ${rows} rows`;
        await bench.measure(`${title}, warming up`, { ...traffic, seconds: WARM_SECONDS, elsewhere: rival });
        const theirs = await bench.measure(title, { ...traffic, elsewhere: rival });
        lines.push(lineOf(name, rows, connections, theirs, ours));
        figures.push(figureOf(name, rows, theirs, ours));
      } finally {
        await rival.stop();
      }
    }
  }
  const head = ["server", "rows", "connections", "requests/s", "rows/s", "p50 ms", "p99 ms", "ours over it"];
  return { tables: [{ caption: "Codes of all three are checked alike.", head, lines }], figures };
}

const p99 = ({ latencies }: Measured): number => percentile(latencies, 0.99);

function lineOf(name: string, rows: number, connections: number, seen: Measured, ours: Measured) {
  const rate = requestsASecond(seen);
  const ratio = requestsASecond(ours) / rate;
  return [name, rows, connections, rate, rate * rows, percentile(seen.latencies, 0.5), p99(seen), ratio];
}

function figureOf(name: string, rows: number, theirs: Measured, ours: Measured): Figure {
  const ratio = requestsASecond(ours) / requestsASecond(theirs);
  return {
    what: `requests/s over ${name}, ${rows === 1 ? "single-row" : `${rows}-row`} JSON, at no worse p99`,
    value: ratio,
    unit: "×",
    goal: `≥ ${GOAL}`,
    met: ratio >= GOAL && p99(ours) <= p99(theirs),
    detail: `p99 ${p99(ours).toFixed(1)} ms, theirs ${p99(theirs).toFixed(1)}`,
  };
}
