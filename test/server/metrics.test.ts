import { describe, expect, it } from "vitest";
import type { DictionaryStatus } from "../../src/engine/engine.ts";
import { SHED_REASONS } from "../../src/engine/core/telemetry.ts";
import { Metrics } from "../../src/server/metrics.ts";
import { type SparseCodes, STOP_REASONS } from "../../src/engine/core/sparse-codes.ts";
import { codesOf } from "../support/codes.ts";

const status = (id: string, chosen?: DictionaryStatus["chosen"]): DictionaryStatus => ({
  id,
  state: chosen ? "ready" : "failed",
  faults: [],
  warnings: [],
  labels: false,
  ...(chosen && { chosen }),
});

/** Samples by name and labels, as Prometheus would keep them. */
async function scrape(metrics: Metrics): Promise<Map<string, number>> {
  const lines = (await metrics.text()).split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(
    lines.map((line) => {
      const space = line.lastIndexOf(" ");
      return [line.slice(0, space), Number(line.slice(space + 1))];
    }),
  );
}

/** A batch of 100 ms, 80 of them in the runtime process. */
const batchOf = (dictionary: string, codes: SparseCodes) => ({
  type: "batch_ended" as const,
  batch: { dictionary, encoder: "own" as const, rows: codes.count, requests: [] },
  result: { codes, milliseconds: 80 },
  start: 0,
  end: 100,
});

describe("metrics", () => {
  it("count what has never happened as 0, so that its first time shows as an increase", async () => {
    const samples = await scrape(new Metrics(() => [status("a")]));
    for (const reason of ["crash", "watchdog"])
      expect(samples.get(`pursuit_runtime_restarts_total{dictionary="a",reason="${reason}"}`)).toBe(0);
    for (const reason of SHED_REASONS)
      expect(samples.get(`pursuit_shed_total{reason="${reason}",dictionary=""}`)).toBe(0);
    expect(samples.get('pursuit_shed_total{reason="queue_full",dictionary="a"}')).toBe(0);
    for (const stage of ["queue", "encode", "steer", "batch", "runtime"])
      expect(samples.get(`pursuit_stage_seconds_count{stage="${stage}",dictionary="a"}`)).toBe(0);
    for (const stage of ["decode", "write"])
      expect(samples.get(`pursuit_stage_seconds_count{stage="${stage}",dictionary=""}`)).toBe(0);
    for (const stop of STOP_REASONS) expect(samples.get(`pursuit_stops_total{dictionary="a",stop="${stop}"}`)).toBe(0);
    expect(samples.get('pursuit_queue_rows{dictionary="a"}')).toBe(0);
    expect(samples.get('pursuit_rows_total{dictionary="a",encoder="own"}')).toBe(0);
    expect(samples.get('pursuit_atoms_per_row_count{dictionary="a",encoder="own"}')).toBe(0);
    expect(samples.get('pursuit_relative_error_count{dictionary="a",encoder="own"}')).toBe(0);
  });

  it("start a dictionary's series although its rows were queued before the first scrape, and lose none of them", async () => {
    const metrics = new Metrics(() => [status("a")]);
    metrics.take({ type: "queued", dictionary: "a", rows: 5 });
    const samples = await scrape(metrics);
    expect(samples.get('pursuit_queue_rows{dictionary="a"}')).toBe(5);
    expect(samples.get('pursuit_stops_total{dictionary="a",stop="repeat"}')).toBe(0);
  });

  it("show a route before its first request", async () => {
    const metrics = new Metrics(() => []);
    metrics.showRoute("/v1/x");
    const samples = await scrape(metrics);
    for (const code of [200, 429, 500, 503])
      expect(samples.get(`pursuit_requests_total{route="/v1/x",code="${code}"}`)).toBe(0);
    expect(samples.get('pursuit_request_seconds_count{route="/v1/x"}')).toBe(0);
  });

  it("count the time that cores are held once, however often they are scraped", async () => {
    const metrics = new Metrics(() => []);
    const lease = { total: 2, busyTime: { requests: 1000, background: 0 } };
    metrics.showCores(lease);
    const busy = async (): Promise<number | undefined> =>
      (await scrape(metrics)).get('pursuit_busy_core_seconds_total{work="requests"}');
    expect([await busy(), await busy()]).toEqual([1, 1]);
    lease.busyTime = { requests: 3000, background: 0 };
    expect(await busy()).toBe(3);
  });

  it("have documented names, labels and types", async () => {
    const metrics = new Metrics(() => [status("a", { runtime: "cpu", path: "gram" })]);
    const request = { requestId: "1", method: "GET", path: "/v1/x", route: "/v1/x" };
    metrics.take({ type: "request_ended", request, status: 200, start: 0, end: 100 });
    metrics.take({ type: "stage", stage: "queue", dictionary: "a", span: {}, start: 0, end: 100 });
    metrics.take(batchOf("a", codesOf([{ entries: [] }], 4)));
    metrics.take({ type: "shed", reason: "queue_full", dictionary: "a" });
    metrics.take({ type: "restart", dictionary: "a", reason: "crash" });
    metrics.showMemory({ limit: 100, held: { server: 10, requests: 5, text: 0, runtime: 30, gram: 20 } });
    metrics.showVersion("1.2.3");
    metrics.showCores({ total: 4, busyTime: { requests: 1500, background: 250 } });
    metrics.showBodies({ held: 7 }, 64);
    metrics.showLoads(
      () => [{ id: "a", state: "ready", predictedWait: 250, memory: { runtime: 30, gram: 20 } }],
      () => true,
      10_000,
    );
    const text = await metrics.text();
    const types = [...text.matchAll(/^# TYPE (pursuit_\w+) (\w+)$/gm)].map(([, name, type]) => [name, type]);
    expect(Object.fromEntries(types)).toEqual({
      pursuit_requests_total: "counter",
      pursuit_request_seconds: "histogram",
      pursuit_stage_seconds: "histogram",
      pursuit_queue_rows: "gauge",
      pursuit_batch_rows: "histogram",
      pursuit_rows_total: "counter",
      pursuit_atoms_per_row: "histogram",
      pursuit_relative_error: "histogram",
      pursuit_stops_total: "counter",
      pursuit_shed_total: "counter",
      pursuit_runtime_info: "gauge",
      pursuit_runtime_restarts_total: "counter",
      pursuit_memory_limit_bytes: "gauge",
      pursuit_memory_held_bytes: "gauge",
      pursuit_build_info: "gauge",
      pursuit_cores: "gauge",
      pursuit_busy_core_seconds_total: "counter",
      pursuit_in_flight_limit_bytes: "gauge",
      pursuit_in_flight_bytes: "gauge",
      pursuit_ready: "gauge",
      pursuit_predicted_wait_limit_seconds: "gauge",
      pursuit_predicted_wait_seconds: "gauge",
      pursuit_dictionary_state: "gauge",
      pursuit_dictionary_memory_bytes: "gauge",
    });
    for (const line of [
      'pursuit_build_info{version="1.2.3"} 1',
      "pursuit_cores 4",
      'pursuit_busy_core_seconds_total{work="requests"} 1.5',
      'pursuit_busy_core_seconds_total{work="background"} 0.25',
      "pursuit_in_flight_limit_bytes 64",
      "pursuit_in_flight_bytes 7",
      "pursuit_ready 1",
      "pursuit_predicted_wait_limit_seconds 10",
      'pursuit_predicted_wait_seconds{dictionary="a"} 0.25',
      'pursuit_dictionary_state{dictionary="a",state="ready"} 1',
      'pursuit_dictionary_state{dictionary="a",state="failed"} 0',
      'pursuit_dictionary_memory_bytes{dictionary="a",use="gram"} 20',
      'pursuit_dictionary_memory_bytes{dictionary="a",use="text"} 0',
    ])
      expect(text.split("\n")).toContain(line);
    expect(text).toContain("pursuit_memory_limit_bytes 100");
    expect(text).toContain('pursuit_memory_held_bytes{use="gram"} 20');
    expect(text).toContain('pursuit_requests_total{route="/v1/x",code="200"} 1');
    expect(text).toContain('pursuit_request_seconds_count{route="/v1/x"} 1');
    expect(text).toContain('pursuit_stage_seconds_count{stage="queue",dictionary="a"} 1');
    expect(text).toContain('pursuit_stops_total{dictionary="a",stop="max_atoms"} 1');
    expect(text).toContain('pursuit_shed_total{reason="queue_full",dictionary="a"} 1');
    expect(text).toContain('pursuit_runtime_info{dictionary="a",runtime="cpu",path="gram"} 1');
    expect(text).toContain('pursuit_runtime_restarts_total{dictionary="a",reason="crash"} 1');
    expect(text).toMatch(/^process_cpu_seconds_total/m);
    expect(text).toMatch(/^nodejs_heap_size_used_bytes/m);
    expect(metrics.contentType).toMatch(/^text\/plain; version=0\.0\.4/);
  });

  it("count rows, atoms, errors and stops of what was encoded", async () => {
    const metrics = new Metrics(() => []);
    const codes = codesOf(
      [
        {
          entries: [
            [0, 1],
            [2, 1],
          ],
          relativeError: 0.15,
          stop: "tolerance",
        },
        { entries: [[1, 1]], relativeError: 0.6, stop: "max_atoms" },
        { entries: [], relativeError: 1, stop: "max_atoms" },
      ],
      4,
    );
    metrics.take(batchOf("a", codes));
    metrics.take(batchOf("b", codesOf([{ entries: [[3, 1]] }], 4)));
    // One that failed has no rows, and takes time all the same.
    metrics.take({ ...batchOf("a", codes), result: null });
    const samples = await scrape(metrics);
    expect(samples.get('pursuit_stage_seconds_count{stage="batch",dictionary="a"}')).toBe(2);
    expect(samples.get("pursuit_batch_rows_count")).toBe(2);
    expect(metrics.executions("a")).toEqual([{ rows: 3, count: 1, seconds: 0.08 }]);
    expect(samples.get('pursuit_rows_total{dictionary="a",encoder="own"}')).toBe(3);
    expect(samples.get('pursuit_rows_total{dictionary="b",encoder="own"}')).toBe(1);
    expect(samples.get('pursuit_atoms_per_row_sum{dictionary="a",encoder="own"}')).toBe(3);
    expect(samples.get('pursuit_atoms_per_row_count{dictionary="a",encoder="own"}')).toBe(3);
    expect(samples.get('pursuit_atoms_per_row_bucket{le="1",dictionary="a",encoder="own"}')).toBe(2);
    expect(samples.get('pursuit_relative_error_bucket{le="0.2",dictionary="a",encoder="own"}')).toBe(1);
    expect(samples.get('pursuit_relative_error_bucket{le="1",dictionary="a",encoder="own"}')).toBe(3);
    expect(samples.get('pursuit_stops_total{dictionary="a",stop="max_atoms"}')).toBe(2);
    expect(samples.get('pursuit_stops_total{dictionary="a",stop="tolerance"}')).toBe(1);
    expect(samples.has('pursuit_stops_total{dictionary="a",stop="repeat"}')).toBe(false);
  });

  it("follow the queue up and down, and count what was shed by its reason", async () => {
    const metrics = new Metrics(() => []);
    metrics.take({ type: "queued", dictionary: "a", rows: 5 });
    metrics.take({ type: "queued", dictionary: "a", rows: -3 });
    metrics.take({ type: "shed", reason: "bytes_in_flight" });
    metrics.take({ type: "shed", reason: "timeout" });
    metrics.take({ type: "shed", reason: "timeout" });
    const samples = await scrape(metrics);
    expect(samples.get('pursuit_queue_rows{dictionary="a"}')).toBe(2);
    expect(samples.get('pursuit_shed_total{reason="bytes_in_flight",dictionary=""}')).toBe(1);
    expect(samples.get('pursuit_shed_total{reason="timeout",dictionary=""}')).toBe(2);
  });

  it("tell what runs at the time of the scrape", async () => {
    let listed = [status("a", { runtime: "cpu", path: "gram" }), status("broken")];
    const metrics = new Metrics(() => listed);
    const info = async (): Promise<string[]> =>
      [...(await scrape(metrics)).keys()].filter((name) => name.startsWith("pursuit_runtime_info"));
    expect(await info()).toEqual(['pursuit_runtime_info{dictionary="a",runtime="cpu",path="gram"}']);
    listed = [status("b", { runtime: "cuda", path: "residual" })];
    expect(await info()).toEqual(['pursuit_runtime_info{dictionary="b",runtime="cuda",path="residual"}']);
  });
});
