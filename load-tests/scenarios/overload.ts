import { poisson } from "../client/arrivals.ts";
import { percentile } from "../client/percentile.ts";
import type { Bench, Figure, Measured, Outcome, Scenario } from "../scenario.ts";
import { answeredShare, peak, PEAK_MEASUREMENTS, requestsASecond, rowsASecond, STEPS_16 } from "./peak.ts";

const ROWS = 32;
const TIMES = 4;
const LIMIT_MS = 500;
/** Those accepted keep theirs for as long as they wait: fewer, and it is the client that requests wait in. */
const CONNECTIONS = 1024;

/** Node's monitorEventLoopDelay records the whole time from one firing of its timer to the next (prom-client: 10 ms). */
const TIMER_MS = 10;

export const overload: Scenario = {
  name: "overload",
  shows: `Octet-stream requests of 32 rows at ${TIMES}× what the server can do, admission limit ${LIMIT_MS} ms.`,
  env: { PURSUIT_MAX_WAIT_MS: String(LIMIT_MS) },
  measurements: () => PEAK_MEASUREMENTS + 1,
  run: (bench) => overloaded(bench, `${TIMES}× overload`),
};

/** Clients beside the server take more of its cores the more they send, and goodput over peak is then theirs too. */
export const overloadApart: Scenario = {
  ...overload,
  name: "overload-apart",
  shows: `${overload.shows} Server and clients have half of the cores each, for themselves.`,
  apart: true,
  run: (bench) => overloaded(bench, `${TIMES}× overload, clients on other cores`),
};

async function overloaded(bench: Bench, title: string): Promise<Outcome> {
  const traffic = { rows: ROWS, codec: "octets", budget: STEPS_16 } as const;
  const most = await peak(bench, traffic);
  const offered = requestsASecond(most) * TIMES;
  const seen = await bench.measure(`overload, ${Math.round(offered)} requests a second`, {
    ...traffic,
    connections: CONNECTIONS,
    seconds: bench.longSeconds,
    arrivals: poisson(offered),
  });
  const p99 = percentile(seen.latencies, 0.99);
  const share = rowsASecond(seen) / rowsASecond(most);
  const [start, end] = [memory(seen.before), memory(seen.after)];
  const lag = seen.after.loopDelayP99Ms - TIMER_MS;
  const figure = (what: string, value: number, unit: string, goal: string, met: boolean, detail: string): Figure => ({
    what: `${title}, ${what}`,
    value,
    unit,
    goal,
    met,
    detail,
  });
  const figures = [
    figure(
      "goodput over peak",
      share,
      "",
      "≥ 0.9",
      share >= 0.9,
      `${Math.round(rowsASecond(seen))} of ${Math.round(rowsASecond(most))} rows/s`,
    ),
    figure(
      "p99 of accepted over the admission limit",
      p99 / LIMIT_MS,
      "",
      "≤ 1.2",
      p99 / LIMIT_MS <= 1.2,
      `${Math.round(p99)} ms of ${LIMIT_MS}`,
    ),
    figure(
      "event-loop delay p99",
      lag,
      "ms",
      "≤ 20",
      lag <= 20,
      `beyond the ${TIMER_MS} ms of the timer that it is measured by; at peak ${(most.after.loopDelayP99Ms - TIMER_MS).toFixed(1)}`,
    ),
    figure(
      "memory, end over start",
      end / start,
      "",
      "≤ 1.2",
      end / start <= 1.2,
      `${Math.round(start)} → ${Math.round(end)} MiB, server and runtimes`,
    ),
  ];
  return { tables: [statusTable(seen, offered), coresTable(most, seen)], figures };
}

const memory = ({ serverMiB, runtimeMiB }: Measured["after"]): number => serverMiB + runtimeMiB;

function statusTable(seen: Measured, offered: number) {
  const codes = [...seen.statuses].toSorted(([a], [b]) => a - b);
  const refused = percentile(seen.refusals, 0.99);
  return {
    caption: `${Math.round(offered)} requests a second were due for ${seen.seconds} s; ${seen.unsent} found no free connection. Refused late: after they had waited.`,
    head: [
      "sent",
      "answered",
      "share 200",
      "refused late",
      "refusal p50 ms",
      "refusal p99 ms",
      "accepted p50 ms",
      "accepted p99 ms",
    ],
    lines: [
      [
        seen.sent,
        codes.map(([status, count]) => `${count} × ${status}`).join(", "),
        answeredShare(seen),
        seen.refusals.filter((milliseconds) => milliseconds > LIMIT_MS).length,
        percentile(seen.refusals, 0.5),
        refused,
        percentile(seen.latencies, 0.5),
        percentile(seen.latencies, 0.99),
      ],
    ],
  };
}

/** Where the cores went. What clients on the same cores took is not the server's. */
function coresTable(most: Measured, seen: Measured) {
  const line = (load: string, one: Measured): (string | number)[] => {
    const cores = (seconds: number): number => seconds / one.seconds;
    return [
      load,
      rowsASecond(one),
      requestsASecond(one),
      (one.statuses.get(429) ?? 0) / one.seconds,
      cores(one.after.serverCpuSeconds - one.before.serverCpuSeconds),
      cores(one.after.runtimeCpuSeconds - one.before.runtimeCpuSeconds),
      cores(one.clientCpuSeconds),
    ];
  };
  return {
    caption: "Cores that each took, seconds of processor time a second.",
    head: ["load", "rows/s", "answered/s", "refused/s", "server", "engine", "clients"],
    lines: [line("peak", most), line(`${TIMES}×`, seen)],
  };
}
