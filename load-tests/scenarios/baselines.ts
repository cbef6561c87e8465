import { availableParallelism } from "node:os";
import { join } from "node:path";
import { mean, percentile } from "../client/percentile.ts";
import {
  type Bench,
  type Figure,
  MATCHING_PURSUIT,
  type Measured,
  type Outcome,
  type Scenario,
  type Traffic,
} from "../scenario.ts";
import { startLimit } from "../server/limit-server.ts";
import { checkPython, startBaseline } from "../server/baseline-server.ts";
import { requestsASecond, STEPS_16 } from "./peak.ts";

/** The same for all: JSON bodies, connections that always wait for their answer. `batch` is the baselines' own, requests. */
const SHAPES = [
  { rows: 1, connections: 64, batch: 64 },
  { rows: 32, connections: 16, batch: 8 },
] as const;
const BASELINES = [
  { name: "LitServe + PyTorch", script: "litserve_server.py" },
  { name: "FastAPI + PyTorch", script: "fastapi_server.py" },
] as const;
const BATCH_TIMEOUT_MS = 5;
/** One leaves the other cores to the HTTP side, all leave none idle: which is better depends on the machine. */
const THREADS = [...new Set([1, availableParallelism()])];
/** The same for all, though only V8 has something to compile. */
const WARM_SECONDS = 5;
/** Their answers take longer, so they are watched for longer. */
const LONGER = 2;
const GOAL = 10;

/** @param python that has the packages of tools/baselines */
export const baselines = (python: string, modelsDir: string): Scenario => ({
  name: "baselines",
  shows: `JSON requests of 16 atoms a row against LitServe and FastAPI around overcomplete's MpSAE on PyTorch, each with all cores, batching on (${BATCH_TIMEOUT_MS} ms), one after another on the same machine.`,
  measurements: () => SHAPES.length * (4 + 2 * BASELINES.length * THREADS.length),
  run: (bench) => compete(bench, python, modelsDir),
});

async function compete(bench: Bench, python: string, modelsDir: string): Promise<Outcome> {
  await checkPython(python);
  const lines: (string | number)[][] = [];
  const figures: Figure[] = [];
  for (const { rows, connections, batch } of SHAPES) {
    const traffic = { rows, codec: "json", budget: STEPS_16, connections, seconds: bench.seconds } as const;
    const warmed = async (name: string, posted: Traffic): Promise<Measured> => {
      const title = `baselines, ${name}, ${rows} rows`;
      await bench.measure(`${title}, warming up`, { ...posted, seconds: WARM_SECONDS });
      return bench.measure(title, posted);
    };
    const ours = await warmed("Pursuit", traffic);
    const most = requestsASecond(ours);
    const add = (name: string, threads: number, rate: number, seen: Measured): void =>
      void lines.push([name, threads, rows, connections, rate, rate * rows, p50(seen), p99(seen), most / rate]);
    add("Pursuit", THREADS.at(-1)!, most, ours);
    const limit = await startLimit(bench.base);
    try {
      const elsewhere = { base: limit.base, path: `/v1/dictionaries/${MATCHING_PURSUIT}/encode` };
      const seen = await warmed("Fastify alone", { ...traffic, elsewhere });
      add("Fastify alone", 1, requestsASecond(seen), seen);
    } finally {
      await limit.stop();
    }
    for (const { name, script } of BASELINES) {
      const tried: Measured[] = [];
      for (const threads of THREADS) {
        const folder = join(modelsDir, MATCHING_PURSUIT);
        const steps = STEPS_16.max_atoms;
        const baseline = await startBaseline({
          python,
          script,
          folder,
          steps,
          threads,
          batch,
          timeoutMs: BATCH_TIMEOUT_MS,
        });
        try {
          const posted = { ...traffic, elsewhere: baseline, seconds: bench.seconds * LONGER };
          const seen = await warmed(`${name}, ${threads} threads`, posted);
          add(name, threads, rateOf(seen, connections), seen);
          tried.push(seen);
        } finally {
          await baseline.stop();
        }
      }
      const best = tried.toSorted((a, b) => rateOf(b, connections) - rateOf(a, connections))[0]!;
      figures.push(figureOf(name, rows, most / rateOf(best, connections), best, ours));
    }
  }
  const head = ["server", "threads", "rows", "connections", "requests/s", "rows/s", "p50 ms", "p99 ms", "ours over it"];
  const caption =
    "Codes of all are checked alike. A baseline's figure is that of its better number of threads. *Fastify alone* reads a body and has its answer already: the limit of a server on Fastify beside these clients.";
  return { tables: [{ caption, head, lines }], figures };
}

const p50 = ({ latencies }: Measured): number => percentile(latencies, 0.5);
const p99 = ({ latencies }: Measured): number => percentile(latencies, 0.99);

/**
 * Requests a second: as counted, or as Little's law has it of clients that always wait, whichever is more. Where answers
 * take seconds, counting alone loses those under way at the end.
 */
function rateOf(seen: Measured, connections: number): number {
  return Math.max(requestsASecond(seen), (connections * 1000) / mean(seen.latencies));
}

function figureOf(name: string, rows: number, ratio: number, theirs: Measured, ours: Measured): Figure {
  return {
    what: `requests/s over ${name}, ${rows === 1 ? "single-row" : `${rows}-row`} JSON, at no worse p99`,
    value: ratio,
    unit: "×",
    goal: `≥ ${GOAL}`,
    met: ratio >= GOAL && p99(ours) <= p99(theirs),
    detail: `p99 ${p99(ours).toFixed(1)} ms, theirs ${p99(theirs).toFixed(1)}`,
  };
}
