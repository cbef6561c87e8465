import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from "prom-client";
import type { DictionaryStatus } from "../engine/engine.ts";
import {
  type BatchResult,
  type BatchSpan,
  RESTART_REASONS,
  SHED_REASONS,
  type TelemetryEvent,
} from "../engine/core/telemetry.ts";
import { STOP_REASONS } from "../engine/core/sparse-codes.ts";
import type { MemoryLedger } from "../engine/scheduler/memory-ledger.ts";
import type { Executions } from "../routes/oip/infer-statistics.ts";
import { TallyHistogram } from "./tally-histogram.ts";

/** 250 µs to 33 s, each twice the last: an encode of one row and a full queue fall inside. */
const SECONDS = exponential(0.000_25, 18);
const COUNTS = exponential(1, 13);
const ERRORS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1];

/** Prometheus metrics (docs/operations.md). Histograms and counters only, so that replicas aggregate. */
export class Metrics {
  readonly #registry = new Registry();
  readonly #requests = new Counter({
    name: "pursuit_requests_total",
    help: "Requests answered.",
    labelNames: ["route", "code"],
    registers: [this.#registry],
  });
  readonly #requestSeconds = new TallyHistogram({
    name: "pursuit_request_seconds",
    help: "From a request's head to its answer.",
    labelNames: ["route"],
    buckets: SECONDS,
    registers: [this.#registry],
  });
  readonly #stageSeconds = new TallyHistogram({
    name: "pursuit_stage_seconds",
    help: "Stages of requests. batch includes transport to and from the runtime process, runtime is a call inside it.",
    labelNames: ["stage"],
    buckets: SECONDS,
    registers: [this.#registry],
  });
  readonly #batchRows = new Histogram({
    name: "pursuit_batch_rows",
    help: "Rows of one batch.",
    buckets: COUNTS,
    registers: [this.#registry],
  });
  readonly #rows = new Counter({
    name: "pursuit_rows_total",
    help: "Rows encoded, by the dictionary's own encoder or by a pursuit that requests chose.",
    labelNames: ["dictionary", "encoder"],
    registers: [this.#registry],
  });
  readonly #atoms = new TallyHistogram({
    name: "pursuit_atoms_per_row",
    help: "Distinct atoms of a row.",
    labelNames: ["dictionary", "encoder"],
    buckets: COUNTS,
    registers: [this.#registry],
  });
  readonly #errors = new TallyHistogram({
    name: "pursuit_relative_error",
    help: "Relative error of a row.",
    labelNames: ["dictionary", "encoder"],
    buckets: ERRORS,
    registers: [this.#registry],
  });
  readonly #stops = new Counter({
    name: "pursuit_stops_total",
    help: "Why rows ended.",
    labelNames: ["dictionary", "stop"],
    registers: [this.#registry],
  });
  readonly #shed = new Counter({
    name: "pursuit_shed_total",
    help: "Requests refused or dropped before they were encoded.",
    labelNames: ["reason"],
    registers: [this.#registry],
  });
  readonly #restarts: Counter<"dictionary" | "reason">;
  #queueRows = 0;

  /** Dictionary → rows of a batch → how many such batches, and their seconds. */
  readonly #executions = new Map<string, Map<number, { readonly count: number; readonly seconds: number }>>();

  /** @param dictionaries what is loaded, asked at each scrape. */
  constructor(dictionaries: () => readonly DictionaryStatus[]) {
    collectDefaultMetrics({ register: this.#registry });
    const queueRows = (): number => this.#queueRows;
    new Gauge({
      name: "pursuit_queue_rows",
      help: "Rows waiting.",
      registers: [this.#registry],
      collect() {
        this.set(queueRows());
      },
    });
    // From 0 on: of a series that begins at 1 Prometheus' increase() never sees the first event.
    for (const reason of SHED_REASONS) this.#shed.inc({ reason }, 0);
    this.#restarts = new Counter({
      name: "pursuit_runtime_restarts_total",
      help: "Restarts of runtime processes.",
      labelNames: ["dictionary", "reason"],
      registers: [this.#registry],
      collect() {
        for (const { id } of dictionaries()) {
          for (const reason of RESTART_REASONS) this.inc({ dictionary: id, reason }, 0);
        }
      },
    });
    new Gauge({
      name: "pursuit_runtime_info",
      help: "Runtime and path of each dictionary; always 1.",
      labelNames: ["dictionary", "runtime", "path"],
      registers: [this.#registry],
      collect() {
        this.reset();
        for (const { id, chosen } of dictionaries()) if (chosen) this.set({ dictionary: id, ...chosen }, 1);
      },
    });
  }

  /** Shows a ledger from now on. */
  showMemory(ledger: Pick<MemoryLedger, "limit" | "held">): void {
    new Gauge({
      name: "pursuit_memory_limit_bytes",
      help: "Memory limit of the server and its dictionaries.",
      registers: [this.#registry],
      collect() {
        this.set(ledger.limit);
      },
    });
    new Gauge({
      name: "pursuit_memory_held_bytes",
      help: "Memory held, by use.",
      labelNames: ["use"],
      registers: [this.#registry],
      collect() {
        for (const [use, bytes] of Object.entries(ledger.held)) this.set({ use }, bytes);
      },
    });
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  text(): Promise<string> {
    return this.#registry.metrics();
  }

  /** Takes an event of the telemetry stream. */
  take(event: TelemetryEvent): void {
    switch (event.type) {
      case "request_ended": {
        const { request, status, start, end } = event;
        const { route } = request;
        this.#requests.inc({ route, code: status });
        this.#requestSeconds.tally(route, (end - start) / 1000);
        return;
      }
      case "stage":
        return this.#stageSeconds.tally(event.stage, (event.end - event.start) / 1000);
      case "batch_ended":
        this.#stageSeconds.tally("batch", (event.end - event.start) / 1000);
        if (event.result !== null) this.#countRows(event.batch, event.result);
        return;
      case "shed":
        return this.#shed.inc({ reason: event.reason });
      case "restart":
        return this.#restarts.inc({ dictionary: event.dictionary, reason: event.reason });
      case "queued":
        this.#queueRows += event.rows;
        return;
      case "request_started":
      case "batch_started":
    }
  }

  #countRows({ dictionary, encoder }: BatchSpan, { codes, milliseconds }: BatchResult): void {
    this.#batchRows.observe(codes.count);
    this.#rows.inc({ dictionary, encoder }, codes.count);
    const stops = new Uint32Array(STOP_REASONS.length);
    for (let i = 0; i < codes.count; i++) {
      this.#atoms.tally(dictionary, codes.indptr[i + 1]! - codes.indptr[i]!, encoder);
      if (codes.relativeErrors) this.#errors.tally(dictionary, codes.relativeErrors[i]!, encoder);
      stops[codes.stops[i]!]!++;
    }
    for (const [i, stop] of STOP_REASONS.entries()) if (stops[i]! > 0) this.#stops.inc({ dictionary, stop }, stops[i]);
    let sizes = this.#executions.get(dictionary);
    if (sizes === undefined) this.#executions.set(dictionary, (sizes = new Map()));
    const seen = sizes.get(codes.count) ?? { count: 0, seconds: 0 };
    sizes.set(codes.count, { count: seen.count + 1, seconds: seen.seconds + milliseconds / 1000 });
  }

  /** Batches of a dictionary by their size, the smallest first. */
  executions(dictionary: string): readonly Executions[] {
    const sizes = [...(this.#executions.get(dictionary) ?? [])];
    return sizes.sort(([a], [b]) => a - b).map(([rows, seen]) => ({ rows, ...seen }));
  }
}

function exponential(first: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => first * 2 ** i);
}
