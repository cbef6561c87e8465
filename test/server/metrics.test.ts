import { describe, expect, it } from "vitest";
import type { DictionaryStatus } from "../../src/engine/engine.ts";
import { SHED_REASONS } from "../../src/engine/core/telemetry.ts";
import { Metrics } from "../../src/server/metrics.ts";
import type { SparseCodes } from "../../src/engine/core/sparse-codes.ts";
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
    for (const reason of SHED_REASONS) expect(samples.get(`pursuit_shed_total{reason="${reason}"}`)).toBe(0);
  });

  it("have documented names, labels and types", async () => {
    const metrics = new Metrics(() => [status("a", { runtime: "cpu", path: "gram" })]);
    const request = { requestId: "1", method: "GET", path: "/v1/x", route: "/v1/x" };
    metrics.take({ type: "request_ended", request, status: 200, start: 0, end: 100 });
    metrics.take({ type: "stage", stage: "queue", span: {}, start: 0, end: 100 });
    metrics.take(batchOf("a", codesOf([{ entries: [] }], 4)));
    metrics.take({ type: "shed", reason: "queue_full" });
    metrics.take({ type: "restart", dictionary: "a", reason: "crash" });
    metrics.showMemory({ limit: 100, held: { server: 10, requests: 5, text: 0, runtime: 30, gram: 20 } });
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
    });
    expect(text).toContain("pursuit_memory_limit_bytes 100");
    expect(text).toContain('pursuit_memory_held_bytes{use="gram"} 20');
    expect(text).toContain('pursuit_requests_total{route="/v1/x",code="200"} 1');
    expect(text).toContain('pursuit_request_seconds_count{route="/v1/x"} 1');
    expect(text).toContain('pursuit_stage_seconds_count{stage="queue"} 1');
    expect(text).toContain('pursuit_stops_total{dictionary="a",stop="max_atoms"} 1');
    expect(text).toContain('pursuit_shed_total{reason="queue_full"} 1');
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
    expect(samples.get('pursuit_stage_seconds_count{stage="batch"}')).toBe(3);
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
    metrics.take({ type: "queued", rows: 5 });
    metrics.take({ type: "queued", rows: -3 });
    metrics.take({ type: "shed", reason: "bytes_in_flight" });
    metrics.take({ type: "shed", reason: "timeout" });
    metrics.take({ type: "shed", reason: "timeout" });
    const samples = await scrape(metrics);
    expect(samples.get("pursuit_queue_rows")).toBe(2);
    expect(samples.get('pursuit_shed_total{reason="bytes_in_flight"}')).toBe(1);
    expect(samples.get('pursuit_shed_total{reason="timeout"}')).toBe(2);
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
