import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cpuSeconds, residentMiB } from "../../test/support/process-figures.ts";
import { startServer } from "../../test/support/running-server.ts";

/** What the server and its runtime processes have used so far. */
export interface Usage {
  /** Of the server process, threads included; not of the runtime processes. */
  readonly serverCpuSeconds: number;
  readonly runtimeCpuSeconds: number;
  readonly serverMiB: number;
  readonly runtimeMiB: number;
  /**
   * 99th percentile, since the last reading, of what Node's `monitorEventLoopDelay` records: how far apart its timer of
   * 10 ms fires. An idle loop says about 10.
   */
  readonly loopDelayP99Ms: number;
}

/** A built server that serves the shipped dictionaries, on a port and with a cache folder of its own. */
export interface LoadedServer {
  readonly base: string;
  readonly usage: () => Promise<Usage>;
  /** Ends it; its cache is gone too. @throws Error when it does not end as it should */
  readonly stop: () => Promise<void>;
}

/** @param cores that it is kept to; all if not said */
export async function startLoaded(
  modelsDir: string,
  env: Readonly<Record<string, string>>,
  cores?: readonly number[],
): Promise<LoadedServer> {
  const cache = await mkdtemp(join(tmpdir(), "pursuit-load-"));
  const removeCache = (): Promise<void> => rm(cache, { recursive: true, force: true });
  try {
    const prefix = cores === undefined ? [] : ["taskset", "-c", cores.join(",")];
    const server = await startServer(modelsDir, cache, { PURSUIT_LOG_LEVEL: "warn", ...env }, { prefix });
    const pid = server.process.pid!;
    return {
      base: server.base,
      async usage() {
        const metrics = await (await fetch(`${server.base}/metrics`)).text();
        const runtimes = server.runtimes();
        const sum = (of: (pid: number) => number): number => runtimes.reduce((total, one) => total + of(one), 0);
        return {
          serverCpuSeconds: sample(metrics, "process_cpu_seconds_total"),
          runtimeCpuSeconds: sum(cpuSeconds),
          serverMiB: residentMiB(pid),
          runtimeMiB: sum(residentMiB),
          loopDelayP99Ms: sample(metrics, "nodejs_eventloop_lag_p99_seconds") * 1000,
        };
      },
      async stop() {
        const code = await server.stop();
        await removeCache();
        if (code !== 0) throw new Error(`the server ended with ${code}: ${server.log()}`);
      },
    };
  } catch (error) {
    await removeCache();
    throw error;
  }
}

/** The value of a metric without labels in Prometheus text. */
function sample(metrics: string, name: string): number {
  const value = new RegExp(`^${name} (\\S+)$`, "m").exec(metrics)?.[1];
  if (value === undefined) throw new Error(`/metrics says nothing of ${name}`);
  return Number(value);
}
