import type { DictionaryManifest, Neighbour } from "../core/dictionary.ts";
import type { Feature, FeaturePage, FeatureQuery, FeatureSummary } from "../core/features.ts";
import type { DictionaryState, DictionaryStatus } from "../engine.ts";
import { EngineError, Fault, isSystemError, shortageOf } from "../core/errors.ts";
import type { GramProgress, LoadedFacts } from "../runtime/protocol/messages.ts";
import { RuntimeProcess } from "../runtime/supervisor/runtime-process.ts";
import { SupervisedRuntime, type SupervisedRuntimeOptions } from "../runtime/supervisor/supervised-runtime.ts";
import type { BatchQueue } from "../scheduler/batch-queue.ts";
import { MEMORY_USES, type MemoryNeeds, type MemoryUse, totalBytes } from "../scheduler/memory-ledger.ts";
import type { CodesToDecode, Correlations, SparseCodes } from "../core/sparse-codes.ts";
import type { Rows } from "../core/rows.ts";
import type { Span } from "../core/telemetry.ts";
import type { SteerBatch, SteeredBatch } from "../core/steer-batch.ts";
import type { EncodeWork } from "./dictionary-executor.ts";
import { FeaturesFile } from "../dictionaries/features-file.ts";
import { type Examples, readExamples } from "../dictionaries/examples.ts";
import { type Labels, labelsFor, readLabels } from "../dictionaries/labels.ts";
import { readManifest } from "../dictionaries/manifest.ts";
import { budgetRule, type RowBudgetRule } from "./check-encode.ts";
import { encodersOf } from "./choose-encoder.ts";
import { createQueue } from "./create-queue.ts";
import { DictionaryMemory, memoryNeeds } from "./dictionary-memory.ts";
import { GramTask, RuntimeCalls } from "./runtime-calls.ts";
import { FeatureCatalog, featuresFault } from "./feature-catalog.ts";
import { faultsOf, LoadRetry } from "./load-queue.ts";
import { ServedPursuit } from "./served-pursuit.ts";
import type { ServingOptions } from "./serving-options.ts";
import type { ShownLabel } from "./state/person-labels.ts";

/** What a loaded dictionary answers with. */
interface Loaded {
  readonly manifest: DictionaryManifest;
  readonly sha256: string;
  readonly rule: RowBudgetRule;
  readonly features: FeatureCatalog;
  readonly runtime: SupervisedRuntime;
  readonly queue: BatchQueue<EncodeWork, SparseCodes>;
  readonly calls: RuntimeCalls;
  readonly gramTask: GramTask;
  /** Over the decoder: made when a request first asks for it. */
  readonly pursuit: ServedPursuit;
}

/** What one dictionary waits for and holds at a moment. */
export interface DictionaryLoad {
  readonly id: string;
  readonly state: DictionaryState;
  /** Predicted milliseconds until a small request would start: what admission goes by; 0 where none is served. */
  readonly predictedWait: number;
  /** Bytes that it holds of the memory limit, with those of a pursuit over its decoder. */
  readonly memory: MemoryNeeds;
}

/** The manifest, and the budget rule that follows from it. */
interface Declared {
  readonly manifest: DictionaryManifest;
  readonly rule: RowBudgetRule;
}

interface Prepared extends Declared {
  /** About the manifest. */
  readonly warnings: readonly string[];
  readonly needs: MemoryNeeds;
}

/** Nearest atoms shown of one feature. */
const NEIGHBOURS = 10;

/** Milliseconds of a call that makes so many products of numbers, one after another. */
const timeOf = (products: number): number => products / 1e6;

/** Products of a matrix product in a millisecond, and in one call. */
const CORRELATED_IN_MILLISECOND = 1e7;
const CORRELATED_AT_ONCE = 10 * CORRELATED_IN_MILLISECOND;

/**
 * One dictionary folder from registration to unload. `load` never throws: what is wrong with a folder is its state,
 * shown in the list, and stops no other dictionary.
 *
 *     registered → loading → ready → draining → unloaded
 *                      └────→ failed ──┘  (also from ready: a restart found it broken, or other weights)
 *
 * It is one version: what a reload finds in the folder is served by another, and {@link ServedDictionaries} swaps the two.
 */
export class ServedDictionary {
  readonly id: string;
  readonly #folder: string;
  readonly #options: ServingOptions;
  #state: DictionaryState = "registered";
  #faults: readonly string[] = [];
  #declared: Declared | null = null;
  #facts: LoadedFacts | null = null;
  /** What has changed of the facts since. */
  #news: Pick<LoadedFacts, "chosen" | "coherence"> | null = null;
  #loaded: Loaded | null = null;
  #features: FeatureCatalog | null = null;
  /** ||D_j|| of its atoms, once they are asked for. */
  #norms: Promise<Float64Array> | null = null;
  /** About files that are not the weights. */
  #folderWarnings: readonly string[] = [];
  #prepared: Prepared | null = null;
  /** Its claim on the server's memory, from the load to the unload. */
  #memory: DictionaryMemory | null = null;
  #outOfMemory = false;
  readonly #givenUp = new AbortController();

  constructor(id: string, folder: string, options: ServingOptions) {
    this.id = id;
    this.#folder = folder;
    this.#options = options;
  }

  get state(): DictionaryState {
    return this.#state;
  }

  /** Whether it failed because PURSUIT_MEMORY_LIMIT leaves no room for it. */
  get outOfMemory(): boolean {
    return this.#outOfMemory;
  }

  /**
   * Reads the manifest, so that the load asks for memory at once. Never rejects: the load meets the same fault.
   * @returns bytes that the load takes; null where the manifest cannot be read
   */
  async prepare(): Promise<number | null> {
    const prepared = this.#prepared ?? (await this.#prepare().catch(() => null));
    return prepared === null ? null : totalBytes(prepared.needs);
  }

  /** Unloads it until its next request. */
  async rest(): Promise<void> {
    await this.unload();
    this.#outOfMemory = false;
    this.#state = "registered";
    this.#options.log("info", `${this.id} is unloaded to make room.`, { dictionary: this.id });
  }

  /** Reads the manifest and starts the runtime process; resolves when the dictionary is `ready` or `failed`. */
  async load(): Promise<void> {
    const { signal } = this.#givenUp;
    this.#state = "loading";
    const started = this.#options.clock.now();
    const retry = new LoadRetry(this.id, this.#options, signal);
    for (;;) {
      try {
        return await this.#load(started);
      } catch (error) {
        const faults = await retry.after(error, this.#memory);
        if (signal.aborted) {
          this.#releaseMemory();
          this.#state = "unloaded";
          return;
        }
        if (faults === null) continue;
        this.#outOfMemory = error instanceof Fault && error.code === "memory_limit";
        return this.#fail(faults);
      }
    }
  }

  /** Ends a load under way: it resolves soon, and leaves no process. */
  giveUpLoading(): void {
    this.#givenUp.abort();
  }

  /** Gives up a call that hangs after seconds instead of the watchdog's time: the server stops. */
  hurry(): void {
    this.#loaded?.runtime.hurry();
    this.#loaded?.pursuit.hurry();
  }

  async #load(started: number): Promise<void> {
    const { memory: ledger, loads, load } = this.#options;
    // A prepared load claims its memory before it waits for anything: see ServedDictionaries.start.
    const prepared = this.#prepared ?? (await this.#prepare());
    const memory = (this.#memory ??= await DictionaryMemory.claim(ledger, prepared.manifest, prepared.needs, load));
    await loads.run(this.id, () => this.#start(prepared, memory, started));
  }

  async #prepare(): Promise<Prepared> {
    const warnings: string[] = [];
    const manifest = await readManifest(this.#folder, (warning) => warnings.push(warning));
    if (manifest.id !== this.id) {
      throw new Fault("broken", [`dictionary.json says id "${manifest.id}", but its folder is named "${this.id}".`]);
    }
    const rule = budgetRule(manifest, this.#options.maxAtoms);
    this.#declared = { manifest, rule };
    this.#folderWarnings = warnings;
    this.#prepared = { manifest, rule, warnings, needs: await memoryNeeds(this.#folder, manifest) };
    return this.#prepared;
  }

  async #start({ manifest, rule, warnings }: Prepared, memory: DictionaryMemory, started: number): Promise<void> {
    const { clock, log, executorEntry, load, loadTimeoutMs, telemetry, onVersion } = this.#options;
    // It may have been given up while it waited for its turn.
    this.#givenUp.signal.throwIfAborted();
    const labels = await readLabels(this.#folder, manifest.m);
    const start = async (signal: AbortSignal): Promise<RuntimeProcess> => {
      const options = { ...load, ...memory.loadOptions(), folder: this.#folder, manifest };
      const process = await RuntimeProcess.start({ entry: executorEntry, load: options, clock, loadTimeoutMs, signal });
      memory.loaded(process);
      return this.#checkSame(process);
    };
    const supervision: SupervisedRuntimeOptions = {
      start,
      clock,
      onRestart: (reason, detail, outOfMemory) => {
        this.#news = null;
        telemetry.emit({ type: "restart", dictionary: this.id, reason });
        const smaller = outOfMemory && memory.shrink() ? ", without its Gram matrix" : "";
        const crash = `${detail.replace(/\.$/, "")}${outOfMemory ? ", probably out of memory" : ""}`;
        const why = reason === "watchdog" ? "it gave no answer" : crash;
        const message = `The runtime process of ${this.id} is being restarted${smaller}: ${why}.`;
        log("error", message, { dictionary: this.id, reason });
      },
      onRan: (run) =>
        telemetry.emit({
          type: "stage",
          stage: "runtime",
          dictionary: this.id,
          span: run,
          start: run.start,
          end: run.end,
        }),
      onRecovered: (anew) => {
        this.#facts = anew;
        this.#loaded?.gramTask.begin();
        log("info", `The runtime process of ${this.id} is back.`, { dictionary: this.id });
      },
      onFailed: (faults) => this.#fail(faults),
    };
    const [runtime, facts] = await SupervisedRuntime.start(supervision, this.#givenUp.signal);
    try {
      await onVersion?.(this.id, facts);
      this.#folderWarnings = warnings;
      this.#features?.close();
      this.#features = await this.#catalogOf(manifest.m, labels, facts.sha256);
      for (const [feature, label] of this.#options.ownLabels?.of(this.id) ?? [])
        if (label.sha256 === facts.sha256) this.#features.setOwn(feature, label.text);
    } catch (error) {
      await runtime.close();
      throw error;
    }
    this.#facts = facts;
    this.#norms = null;
    this.#loaded = {
      manifest,
      features: this.#features,
      sha256: facts.sha256,
      rule,
      runtime,
      queue: createQueue(this.id, runtime, { dIn: manifest.dIn, warmUp: facts.warmUp }, this.#options),
      calls: new RuntimeCalls(this.id, runtime, this.#options),
      gramTask: this.#gramTaskOf(runtime),
      pursuit: new ServedPursuit({ id: this.id, folder: this.#folder, manifest, sha256: facts.sha256 }, this.#options),
    };
    this.#loaded.gramTask.begin();
    this.#state = "ready";
    for (const warning of this.status().warnings) log("warn", warning, { dictionary: this.id });
    const { runtime: name, path } = facts.chosen;
    log("info", `${this.id} is ready: ${manifest.m} atoms of width ${manifest.dOut} on ${name}, ${path} path.`, {
      dictionary: this.id,
      seconds: Math.round(clock.now() - started) / 1000,
    });
  }

  /** Why CUDA was not to be had, and the like: said once for the server, not once a dictionary. */
  get notes(): readonly string[] {
    return this.#facts?.notes ?? [];
  }

  status(): DictionaryStatus {
    const facts = this.#facts;
    const withoutGram = this.#memory?.warning ?? null;
    // Filled in field by field, not spread together: every request asks, some of them three times.
    const status: { -readonly [K in keyof DictionaryStatus]: DictionaryStatus[K] } = {
      id: this.id,
      state: this.#state,
      faults: this.#faults,
      warnings: facts === null ? this.#folderWarnings : facts.warnings.concat(this.#folderWarnings),
      labels: this.#features?.labelled ?? false,
    };
    if (this.#options.onDemand && (this.#state === "registered" || this.#state === "loading")) status.onDemand = true;
    for (const warning of [withoutGram, this.#loaded?.pursuit.warning ?? null]) {
      if (warning !== null) status.warnings = status.warnings.concat(warning);
    }
    if (this.#declared !== null) {
      const { manifest, rule } = this.#declared;
      status.manifest = manifest;
      status.encoders = encodersOf(manifest);
      status.maxAtoms = rule.cap;
    }
    if (facts !== null) {
      const { chosen, coherence } = this.#news ?? facts;
      status.sha256 = facts.sha256;
      status.chosen = chosen;
      status.coherence = coherence;
      if (facts.thresholds !== undefined) status.thresholds = facts.thresholds;
    }
    if (this.#loaded !== null && this.#state !== "failed") status.runtimeState = this.#loaded.runtime.state;
    return status;
  }

  /** What it waits for and holds now. */
  currentLoad(): DictionaryLoad {
    const memory: Partial<Record<MemoryUse, number>> = {};
    const pursuit = this.#loaded?.pursuit;
    for (const held of [this.#memory?.uses, pursuit?.memoryUses]) {
      for (const use of MEMORY_USES) if (held?.[use] !== undefined) memory[use] = (memory[use] ?? 0) + held[use];
    }
    const predictedWait = Math.max(this.#loaded?.queue.predictedWait ?? 0, pursuit?.predictedWait ?? 0);
    return { id: this.id, state: this.#state, predictedWait, memory };
  }

  /** What it is served by. @throws EngineError PURSUIT_DICTIONARY_FAILED, PURSUIT_NOT_READY, PURSUIT_DRAINING */
  serving(): Loaded {
    if (this.#state === "failed") {
      throw new EngineError(
        "PURSUIT_DICTIONARY_FAILED",
        `Dictionary ${this.id} could not be loaded: ${this.#faults.join(" ")}`,
      );
    }
    if (this.#state === "unloaded") {
      const message = `Dictionary ${this.id} is unloaded; POST /v2/repository/models/${this.id}/load loads it.`;
      throw new EngineError("PURSUIT_NOT_READY", message);
    }
    if (this.#state === "draining") {
      throw new EngineError("PURSUIT_DRAINING", `Dictionary ${this.id} is being unloaded.`, { retryAfter: 1 });
    }
    if (this.#loaded === null) {
      throw new EngineError("PURSUIT_NOT_READY", `Dictionary ${this.id} is still being loaded.`, { retryAfter: 1 });
    }
    return this.#loaded;
  }

  /**
   * Codes → rows [count · d].
   * @param span of the request
   * @param check throws where it is no longer wanted when its turn has come
   */
  async decode(codes: CodesToDecode, span: Span, check: () => void): Promise<Float32Array> {
    const { calls, manifest } = this.serving();
    return calls.make(timeOf(codes.indices.length * manifest.dOut), (runtime, time) => {
      check();
      return runtime.decode(codes, time, span);
    });
  }

  /**
   * Rows steered in one call; the caller keeps it short (steering/steer.ts).
   * @param span and check as of {@link decode}
   */
  async steer(batch: SteerBatch, span: Span, check: () => void): Promise<SteeredBatch> {
    return this.serving().calls.make(0, (runtime, time) => {
      check();
      return runtime.steer(batch, time, span);
    });
  }

  /**
   * The `most` largest of D·(x − b) of each row, in calls of some 10 ms.
   * @param span and check as of {@link decode}
   */
  async correlations(rows: Rows, most: number, span: Span, check: () => void): Promise<Correlations> {
    const { calls, manifest } = this.serving();
    const { m, dOut: d } = manifest;
    const indices = new Uint32Array(rows.count * most);
    const values = new Float32Array(rows.count * most);
    const size = Math.max(2, Math.floor(CORRELATED_AT_ONCE / (m * d)));
    for (let from = 0; from < rows.count; from += size) {
      const to = Math.min(from + size, rows.count);
      const part = rows.data.subarray(from * d, to * d);
      const largest = await calls.make(((to - from) * m * d) / CORRELATED_IN_MILLISECOND, (runtime, time) => {
        check();
        return runtime.correlations(part, to - from, most, time, span);
      });
      indices.set(largest.indices, from * most);
      values.set(largest.values, from * most);
    }
    return { indices, values };
  }

  async feature(index: number, span: Span): Promise<Feature> {
    const { calls, manifest, features } = this.serving();
    // Read before anything is waited for: an unload closes the file.
    const record = features.record(index);
    const norms = await this.#atomNorms(span);
    const neighbours = await calls.make(timeOf(manifest.m * manifest.dOut), (runtime, time) =>
      runtime.neighbours(index, NEIGHBOURS, time, span),
    );
    const rate = features.rate(index);
    return {
      index,
      norm: norms[index]!,
      labels: features.labels(index),
      ...(rate !== undefined && { rate }),
      ...record,
      ...(record && { firesWithLabels: record.firesWith.map((other) => features.label(other.index)) }),
      neighbours: neighbours.map((neighbour) => {
        const label = features.label(neighbour.index);
        return { ...neighbour, ...(label && { label }) };
      }),
    };
  }

  async listFeatures(query: FeatureQuery, span: Span): Promise<FeaturePage> {
    if (query.query !== undefined) this.labels();
    const norms = await this.#atomNorms(span);
    return this.serving().features.list(query, norms);
  }

  /** Features nearest to a row [d_out] less the centre, by cosine with the atom. */
  async nearestFeatures(
    row: Float32Array,
    count: number,
    span: Span,
  ): Promise<readonly (FeatureSummary & Neighbour)[]> {
    const { calls, manifest, features } = this.serving();
    const norms = await this.#atomNorms(span);
    const found = await calls.make(timeOf(manifest.m * manifest.dOut), (runtime, time) =>
      runtime.nearest(row, count, time, span),
    );
    return found.map(({ index, cosine }) => ({ ...features.summary(index, norms), cosine }));
  }

  /** Coordinates of all atoms [m, 2]; null where there are none. */
  map(): Float32Array | null {
    return this.serving().features.map();
  }

  /** Held-out rows to try, with their texts; null if there are none. */
  examples(): Promise<Examples | null> {
    return readExamples(this.#folder, this.serving().manifest.dIn);
  }

  /** ||D_j|| of every atom, asked for once. */
  #atomNorms(span: Span): Promise<Float64Array> {
    const { calls } = this.serving();
    if (this.#norms === null) {
      const asked = calls.make(0, (runtime, time) => runtime.atomNorms(time, span));
      this.#norms = asked;
      asked.catch(() => (this.#norms = null));
    }
    return this.#norms;
  }

  /** What is known of its features. @throws EngineError PURSUIT_NO_LABELS where no feature has a label */
  labels(): FeatureCatalog {
    if (this.#features?.labelled === true) return this.#features;
    throw new EngineError(
      "PURSUIT_NO_LABELS",
      `Dictionary ${this.id} has no labels: its folder has no labels.json and no features.db, or none of this version; GET /v1/dictionaries/${this.id} warns of the latter.`,
    );
  }

  /** Shows a person's label; null, or one of another version, shows none. */
  showLabel(feature: number, label: ShownLabel | null): void {
    this.#features?.setOwn(feature, label?.sha256 === this.#facts?.sha256 ? (label?.text ?? null) : null);
  }

  /** Answers what was accepted, then ends the runtime process. */
  async unload(): Promise<void> {
    const loaded = this.#loaded;
    this.#state = "draining";
    loaded?.gramTask.stop();
    await Promise.all([loaded?.queue.drain(), loaded?.pursuit.close()]);
    await loaded?.calls.end();
    await loaded?.runtime.close();
    this.#releaseMemory();
    this.#features?.close();
    this.#features = null;
    this.#loaded = null;
    this.#state = "unloaded";
    this.#faults = [];
  }

  /** What is known of the features of that version, from the folder's files. */
  async #catalogOf(m: number, labels: Labels | null, sha256: string): Promise<FeatureCatalog> {
    const own = labels === null ? null : labelsFor(labels, sha256);
    const file = await this.#featuresFile(m, sha256);
    this.#folderWarnings = [...this.#folderWarnings, ...(own?.warnings ?? [])];
    try {
      return await FeatureCatalog.create({ m, facts: own?.facts ?? new Map(), file }, this.#givenUp.signal);
    } catch (error) {
      file?.close();
      throw error;
    }
  }

  /** The folder's features file, if it is whole and of that version; otherwise a warning says why not. */
  async #featuresFile(m: number, sha256: string): Promise<FeaturesFile | null> {
    const unused = (warning: string): null => {
      this.#folderWarnings = [...this.#folderWarnings, warning];
      return null;
    };
    try {
      const file = await FeaturesFile.open(this.#folder, m);
      const fault = file === null ? null : featuresFault(file, sha256);
      if (fault === null) return file;
      file?.close();
      return unused(fault);
    } catch (error) {
      if (isSystemError(error) && shortageOf(error) !== null) throw error;
      return unused(`${(error as Error).message} It is not used.`);
    }
  }

  /**
   * Refuses a restarted runtime process that read another version than the one served: requests were checked by this
   * version's manifest, and answers carry its sha256. A load serves the new files.
   * @throws Fault
   */
  async #checkSame(runtime: RuntimeProcess): Promise<RuntimeProcess> {
    if (this.#facts === null || runtime.facts.sha256 === this.#facts.sha256) return runtime;
    await runtime.close();
    throw new Fault("broken", [
      `Its weights file changed, and then its runtime process ended; a new process would serve other codes. POST /v2/repository/models/${this.id}/load serves the new file.`,
    ]);
  }

  #gramTaskOf(runtime: SupervisedRuntime): GramTask {
    const { background, watchdogMs, log } = this.#options;
    return new GramTask({
      runtime,
      background,
      limit: watchdogMs,
      onStep: ({ chosen, coherence, note }: GramProgress) => {
        this.#news = { chosen, coherence };
        this.#memory?.pathChanged(chosen);
        if (note !== undefined) log("info", `${this.id}: ${note}`, { dictionary: this.id });
      },
      onFailed: (error) => {
        log("warn", `${this.id} serves as it was loaded: ${faultsOf(error).join(" ")}`, { dictionary: this.id });
      },
    });
  }

  #releaseMemory(): void {
    this.#memory?.release();
    this.#memory = null;
  }

  #fail(faults: readonly string[]): void {
    // While one loads, another version of it may be served.
    const what = this.#state === "loading" ? "could not be loaded" : "is no longer served";
    this.#releaseMemory();
    void this.#loaded?.pursuit.close();
    this.#state = "failed";
    this.#faults = faults;
    for (const fault of faults) {
      this.#options.log("error", `Dictionary ${this.id} ${what}: ${fault}`, { dictionary: this.id });
    }
  }
}
