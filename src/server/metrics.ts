import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from "prom-client";
import { DICTIONARY_STATES, type DictionaryStatus } from "../engine/engine.ts";
import {
  type BatchResult,
  type BatchSpan,
  RESTART_REASONS,
  type ShedReason,
  SHED_REASONS,
  type Stage,
  type TelemetryEvent,
} from "../engine/core/telemetry.ts";
import { STOP_REASONS } from "../engine/core/sparse-codes.ts";
import type { CoreLease } from "../engine/scheduler/core-lease.ts";
import { MEMORY_USES, type MemoryLedger } from "../engine/scheduler/memory-ledger.ts";
import type { DictionaryLoad } from "../engine/serving/served-dictionary.ts";
import type { Executions } from "../routes/oip/infer-statistics.ts";
import { TallyHistogram } from "./tally-histogram.ts";

/** 250 µs to 33 s, each twice the last: an encode of one row and a full queue fall inside. */
const SECONDS = exponential(0.000_25, 18);
const COUNTS = exponential(1, 13);
/** Stages of a server, before its dictionary is known, and of a dictionary. */
const SERVER_STAGES: readonly Stage[] = ["decode", "write"];
const DICTIONARY_STAGES: readonly Stage[] = ["queue", "encode", "steer", "batch", "runtime"];

/** Reasons that a dictionary's queue refuses for. */
const QUEUE_REASONS: readonly ShedReason[] = ["queue_full", "deadline", "timeout", "client_closed", "draining"];

/** Statuses that a route's counters start with: an answer, what is shed, and faults. */
const STATUSES = [200, 429, 500, 503];

/** The uses of memory that a dictionary has. */
const DICTIONARY_USES = MEMORY_USES.filter((use) => use !== "server" && use !== "requests");

const ERRORS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1];

/**
 * Prometheus metrics (docs/operations.md). Histograms and counters wherever possible, so that replicas aggregate. Every
 * series starts at 0: of one that begins at 1, Prometheus' increase() never sees the first event.
 */
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
    labelNames: ["stage", "dictionary"],
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
    labelNames: ["reason", "dictionary"],
    registers: [this.#registry],
  });
  readonly #restarts = new Counter({
    name: "pursuit_runtime_restarts_total",
    help: "Restarts of runtime processes.",
    labelNames: ["dictionary", "reason"],
    registers: [this.#registry],
  });
  readonly #dictionaries: () => readonly DictionaryStatus[];
  /** Dictionaries whose series have started. */
  readonly #started = new Set<string>();
  readonly #queueRows = new Map<string, number>();

  /** Dictionary → rows of a batch → how many such batches, and their seconds. */
  readonly #executions = new Map<string, Map<number, { readonly count: number; readonly seconds: number }>>();

  /** @param dictionaries what is loaded, asked at each scrape. */
  constructor(dictionaries: () => readonly DictionaryStatus[]) {
    collectDefaultMetrics({ register: this.#registry });
    this.#dictionaries = dictionaries;
    const queueRows = this.#queueRows;
    new Gauge({
      name: "pursuit_queue_rows",
      help: "Rows waiting.",
      labelNames: ["dictionary"],
      registers: [this.#registry],
      collect() {
        for (const [dictionary, rows] of queueRows) this.set({ dictionary }, rows);
      },
    });
    // Prometheus takes an empty label for none.
    for (const reason of SHED_REASONS) this.#shed.inc({ reason, dictionary: "" }, 0);
    for (const stage of SERVER_STAGES) this.#stageSeconds.start(stage, "");
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

  /** Shows a server's version. */
  showVersion(version: string): void {
    new Gauge({
      name: "pursuit_build_info",
      help: "Version of the server; always 1.",
      labelNames: ["version"],
      registers: [this.#registry],
    }).set({ version }, 1);
  }

  /** Shows the load of each dictionary, and whether the server is ready, from now on. @param maxWaitMs milliseconds */
  showLoads(loads: () => readonly DictionaryLoad[], ready: () => boolean, maxWaitMs: number): void {
    const registers = [this.#registry];
    new Gauge({
      name: "pursuit_ready",
      help: "1 if the server is ready, 0 if not.",
      registers,
      collect() {
        this.set(ready() ? 1 : 0);
      },
    });
    new Gauge({
      name: "pursuit_predicted_wait_limit_seconds",
      help: "Predicted wait above which requests are refused.",
      registers,
    }).set(maxWaitMs / 1000);
    new Gauge({
      name: "pursuit_predicted_wait_seconds",
      help: "Predicted wait of a small request until it starts, as admission computes it.",
      labelNames: ["dictionary"],
      registers,
      collect() {
        for (const { id, predictedWait } of loads()) this.set({ dictionary: id }, predictedWait / 1000);
      },
    });
    new Gauge({
      name: "pursuit_dictionary_state",
      help: "1 for the state that a dictionary is in, 0 for the others.",
      labelNames: ["dictionary", "state"],
      registers,
      collect() {
        for (const { id, state } of loads()) {
          for (const each of DICTIONARY_STATES) this.set({ dictionary: id, state: each }, each === state ? 1 : 0);
        }
      },
    });
    new Gauge({
      name: "pursuit_dictionary_memory_bytes",
      help: "Memory that a dictionary holds, by use.",
      labelNames: ["dictionary", "use"],
      registers,
      collect() {
        for (const { id, memory } of loads()) {
          for (const use of DICTIONARY_USES) this.set({ dictionary: id, use }, memory[use] ?? 0);
        }
      },
    });
  }

  /** Shows a lease's cores from now on. */
  showCores(lease: Pick<CoreLease, "total" | "busyTime">): void {
    new Gauge({
      name: "pursuit_cores",
      help: "Cores that turns share.",
      registers: [this.#registry],
    }).set(lease.total);
    const held = { requests: 0, background: 0 };
    new Counter({
      name: "pursuit_busy_core_seconds_total",
      help: "Core-seconds that turns have held cores, by work. Its rate over pursuit_cores is the busy share.",
      labelNames: ["work"],
      registers: [this.#registry],
      collect() {
        const { requests, background } = lease.busyTime;
        this.inc({ work: "requests" }, (requests - held.requests) / 1000);
        this.inc({ work: "background" }, (background - held.background) / 1000);
        Object.assign(held, { requests, background });
      },
    });
  }

  /** Shows the bytes of request bodies from now on. */
  showBodies(bodies: { readonly held: number }, limit: number): void {
    new Gauge({
      name: "pursuit_in_flight_limit_bytes",
      help: "Limit on the bytes of all request bodies.",
      registers: [this.#registry],
    }).set(limit);
    new Gauge({
      name: "pursuit_in_flight_bytes",
      help: "Bytes of request bodies that are being read or worked on.",
      registers: [this.#registry],
      collect() {
        this.set(bodies.held);
      },
    });
  }

  /** Shows a route's series before its first request. */
  showRoute(route: string): void {
    for (const code of STATUSES) this.#requests.inc({ route, code }, 0);
    this.#requestSeconds.start(route);
  }

  /** Shows a dictionary's series before its first request. */
  #startDictionary(dictionary: string): void {
    if (this.#started.has(dictionary)) return;
    this.#started.add(dictionary);
    this.#queueRows.set(dictionary, this.#queueRows.get(dictionary) ?? 0);
    for (const stage of DICTIONARY_STAGES) this.#stageSeconds.start(stage, dictionary);
    for (const reason of QUEUE_REASONS) this.#shed.inc({ reason, dictionary }, 0);
    for (const reason of RESTART_REASONS) this.#restarts.inc({ dictionary, reason }, 0);
    for (const stop of STOP_REASONS) this.#stops.inc({ dictionary, stop }, 0);
    this.#rows.inc({ dictionary, encoder: "own" }, 0);
    this.#atoms.start(dictionary, "own");
    this.#errors.start(dictionary, "own");
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  text(): Promise<string> {
    for (const { id } of this.#dictionaries()) this.#startDictionary(id);
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
        return this.#stageSeconds.tally(event.stage, (event.end - event.start) / 1000, event.dictionary ?? "");
      case "batch_ended":
        this.#stageSeconds.tally("batch", (event.end - event.start) / 1000, event.batch.dictionary);
        if (event.result !== null) this.#countRows(event.batch, event.result);
        return;
      case "shed":
        return this.#shed.inc({ reason: event.reason, dictionary: event.dictionary ?? "" });
      case "restart":
        return this.#restarts.inc({ dictionary: event.dictionary, reason: event.reason });
      case "queued":
        this.#queueRows.set(event.dictionary, (this.#queueRows.get(event.dictionary) ?? 0) + event.rows);
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
