import type { Clock } from "../core/clock.ts";
import type {
  DictionaryStatus,
  EncodeAnswer,
  EncodeRequest,
  Engine,
  ExampleRows,
  Readiness,
  ReadyRule,
  RequestContext,
  SetsAnswer,
  SetsRequest,
  TransferAnswer,
  TransferRequest,
} from "../engine.ts";
import type { Neighbour } from "../core/dictionary.ts";
import type { Feature, FeatureLabel, FeaturePage, FeatureQuery, FeatureSummary } from "../core/features.ts";
import type { CodesToDecode, SparseCodes } from "../core/sparse-codes.ts";
import { EngineError } from "../core/errors.ts";
import type { Stage, Telemetry } from "../core/telemetry.ts";
import { makesItsRow } from "../core/dictionary.ts";
import { specOf } from "../encoders/registry.ts";
import type { Rows } from "../core/rows.ts";
import type { SteerAnswer, SteerRequest } from "../core/steering.ts";
import { chooseEncoder } from "./choose-encoder.ts";
import { checkCodes, checkDecoded, checkPair, codesOfGroup, unnormed } from "./check-codes.ts";
import { budgetClasses, budgetColumns, checkUnmeasured } from "./check-encode.ts";
import { checkCorrelated, checkFinite, checkTargets, checkWidth } from "./check-rows.ts";
import { warningOf } from "./reference-figures.ts";
import { type OnDemand, ServedDictionaries } from "./served-dictionaries.ts";
import type { DictionaryLoad, ServedDictionary } from "./served-dictionary.ts";
import { joinCodes } from "../core/split-codes.ts";
import { encodeSets } from "./encode-sets.ts";
import { checkStillWanted } from "./still-wanted.ts";
import { checkTypical, References, typicalityOf } from "./typicality.ts";
import { freshEdits, ServedSets } from "./steering/served-sets.ts";
import { steer } from "./steering/steer.ts";
import { PersonLabels, ServedLabels } from "./state/person-labels.ts";
import type { StateStore } from "./state/state-store.ts";

export interface CatalogOptions {
  readonly clock: Clock;
  /** A version of the dictionary in the models folder's folder of that name, not yet loaded; null where there is none. */
  readonly open: (id: string) => Promise<ServedDictionary | null>;
  /** Steering sets and people's labels. */
  readonly state: StateStore;
  /** The same that the dictionaries show; absent: none are shown. */
  readonly ownLabels?: PersonLabels;
  readonly telemetry: Telemetry;
  /** Rule of readiness; `all` unless given. */
  readonly ready?: ReadyRule;
  /** Predicted wait in milliseconds above which the engine is not ready; absent or 0: never. */
  readonly readyWaitMs?: number;
  /** Absent: dictionaries are loaded at the start. */
  readonly onDemand?: OnDemand;
}

/** The engine over a set of served dictionaries: finds the one meant, checks the request, queues it, joins the answer. */
export class CatalogEngine implements Engine {
  readonly #dictionaries: ServedDictionaries;
  readonly #clock: Clock;
  readonly #readyWaitMs: number;
  readonly #telemetry: Telemetry;
  readonly steering: ServedSets;
  readonly ownLabels: ServedLabels;
  readonly #references = new References();

  constructor(
    dictionaries: readonly ServedDictionary[],
    { clock, open, state, ownLabels, telemetry, ready = "all", readyWaitMs = 0, onDemand }: CatalogOptions,
  ) {
    this.#dictionaries = new ServedDictionaries(dictionaries, open, ready, onDemand);
    this.#clock = clock;
    this.#readyWaitMs = readyWaitMs;
    this.#telemetry = telemetry;
    this.steering = new ServedSets(state, {
      sha256: (id) => this.status(id).sha256,
      serving: (id) => {
        const { manifest, sha256 } = this.#dictionaries.find(id).serving();
        return { d: manifest.dIn, m: manifest.m, sha256 };
      },
    });
    const labels = ownLabels ?? new PersonLabels(state);
    labels.subscribe((id, feature, label) => this.#dictionaries.present(id)?.showLabel(feature, label));
    this.ownLabels = new ServedLabels(state, labels, {
      serving: (id, feature) => {
        const { manifest, sha256 } = this.#dictionaries.find(id).serving();
        checkFeature(id, feature, manifest.m);
        return { sha256 };
      },
    });
  }

  now(): number {
    return this.#clock.now();
  }

  list(): readonly DictionaryStatus[] {
    return this.#dictionaries.list();
  }

  status(id: string): DictionaryStatus {
    return this.#dictionaries.find(id).status();
  }

  /** What each dictionary waits for and holds now, for metrics. */
  loads(): readonly DictionaryLoad[] {
    return this.#dictionaries.loads();
  }

  readiness(): Readiness {
    const readiness = this.#dictionaries.readiness();
    if (!readiness.ready || this.#readyWaitMs === 0) return readiness;
    const over = this.loads().find(({ predictedWait }) => predictedWait > this.#readyWaitMs);
    if (over === undefined) return readiness;
    const wait = `Requests for ${over.id} would wait about ${Math.ceil(over.predictedWait)} ms`;
    return {
      ...readiness,
      ready: false,
      reason: `${wait}; the limit is ${this.#readyWaitMs} ms (PURSUIT_READY_WAIT_MS).`,
    };
  }

  get draining(): boolean {
    return this.#dictionaries.draining;
  }

  hold(id: string): Promise<() => void> | null {
    return this.#dictionaries.hold(id);
  }

  admit(id: string): void {
    this.#dictionaries.find(id).serving().queue.admit();
  }

  encode(id: string, request: EncodeRequest, context: RequestContext): Promise<EncodeAnswer> {
    return this.#dictionaries.byPresent([id], ([dictionary]) => this.#encode(dictionary!, request, context));
  }

  async #encode(dictionary: ServedDictionary, request: EncodeRequest, context: RequestContext): Promise<EncodeAnswer> {
    const { rows, targets, budget, trace, reconstruction, encoder, summary = false, degrade = false } = request;
    if (request.correlations !== undefined) checkCorrelated(dictionary.id, dictionary.serving().manifest);
    if (request.typicality) checkTypical(dictionary.id, dictionary.serving().manifest.role, budget);
    const checked = this.#check(dictionary, rows, context, summary && targets === undefined);
    // Few rows are in the queue before this returns: what was asked before an unload is answered.
    let totalVariance = checked instanceof Promise ? await checked : checked;
    if (targets !== undefined) totalVariance = await this.#checkTargets(dictionary, targets, rows, context, summary);
    const { pursuit, overDecoder } = chooseEncoder(dictionary.serving().manifest, encoder);
    if (overDecoder) {
      const { pursuit: served } = dictionary.serving();
      // A budget that is refused should not wait for what is being made.
      budgetColumns(budget, rows.count, served.rule);
      await served.prepare(context, (needed, start) => this.#dictionaries.admit(dictionary.id, needed, start));
    }
    // Only now: checking may have taken turns, and from here to the queue nothing may come between.
    const serving = dictionary.serving();
    const { manifest, sha256 } = serving;
    const { queue, rule } = overDecoder ? serving.pursuit : serving;
    const budgets = budgetColumns(budget, rows.count, rule);
    if (!makesItsRow(manifest.role) && targets === undefined) checkUnmeasured(budgets);
    const uniform = !Array.isArray(budget);
    const submitted = this.#clock.now();
    const { results, queueMilliseconds } = await queue.submit({
      count: rows.count,
      cancellation: context.cancellation,
      ...(context.deadline !== undefined && { deadline: context.deadline }),
      rows,
      ...(targets && { targets }),
      budgets,
      classes: budgetClasses(budgets, uniform),
      uniform,
      // A one-pass encoder spends the same whatever its budget: there is nothing to shorten.
      degrade: degrade && (pursuit !== undefined || specOf(manifest).family === "pursuit"),
      span: context.span,
      trace,
      reconstruction,
      ...(pursuit && { pursuit }),
    });
    const codes = await this.#withCorrelations(dictionary, request, joinCodes(results), context);
    const started = submitted + queueMilliseconds;
    this.#stage("queue", dictionary.id, context, submitted, started);
    this.#stage("encode", dictionary.id, context, started);
    const warning = warningOf(codes, manifest);
    if (request.typicality) {
      const reference = await this.#references.of(dictionary, request, (asked) =>
        this.#encode(dictionary, asked, context),
      );
      return {
        codes: { ...codes, typicality: typicalityOf(rows, codes, reference) },
        totalVariance,
        sha256,
        ...(pursuit && { pursuit }),
        ...(warning && { warning }),
      };
    }
    return { codes, totalVariance, sha256, ...(pursuit && { pursuit }), ...(warning && { warning }) };
  }

  async #withCorrelations(
    dictionary: ServedDictionary,
    { rows, correlations: wanted }: EncodeRequest,
    codes: SparseCodes,
    context: RequestContext,
  ): Promise<SparseCodes> {
    if (wanted === undefined) return codes;
    const check = (): void => checkStillWanted(context, this.now(), "encoded");
    // The dictionary may have been replaced by a narrower one since the request was checked.
    const most = Math.min(wanted, codes.width);
    return { ...codes, correlations: await dictionary.correlations(rows, most, context.span, check) };
  }

  /** Emits a stage of a request. @param end now, unless given */
  #stage(stage: Stage, dictionary: string, { span }: RequestContext, start: number, end = this.#clock.now()): void {
    this.#telemetry.emit({ type: "stage", stage, dictionary, span, start, end });
  }

  /** @throws EngineError PURSUIT_WRONG_WIDTH, PURSUIT_NOT_FINITE, PURSUIT_CLIENT_CLOSED, PURSUIT_TIMEOUT */
  #check(
    dictionary: ServedDictionary,
    rows: Rows,
    context: RequestContext,
    summary = false,
  ): number | null | Promise<number | null> {
    checkWidth(rows, dictionary.serving().manifest);
    return checkFinite(rows, { summary, onTurn: () => checkStillWanted(context, this.now(), "encoded") });
  }

  /** @throws EngineError PURSUIT_ROLE_MISMATCH, PURSUIT_WRONG_WIDTH, PURSUIT_NOT_FINITE */
  #checkTargets(
    dictionary: ServedDictionary,
    targets: Rows,
    rows: Rows,
    context: RequestContext,
    summary: boolean,
  ): number | null | Promise<number | null> {
    const { role, dOut } = dictionary.serving().manifest;
    if (makesItsRow(role)) {
      const message = `targets: the role of dictionary ${dictionary.id} is ${role}, which is measured against its own rows. Leave targets out.`;
      throw new EngineError("PURSUIT_ROLE_MISMATCH", message);
    }
    checkTargets(targets, rows.count, dOut);
    const onTurn = (): void => checkStillWanted(context, this.now(), "encoded");
    return checkFinite(targets, { summary, onTurn, name: "Target" });
  }

  encodeSets(id: string, request: SetsRequest, context: RequestContext): Promise<SetsAnswer> {
    return this.#dictionaries.byPresent([id], ([dictionary]) =>
      encodeSets(request, {
        manifest: dictionary!.serving().manifest,
        sha256: dictionary!.serving().sha256,
        encode: (encoded) => this.#encode(dictionary!, encoded, context),
      }),
    );
  }

  async decode(id: string, codes: CodesToDecode, context: RequestContext): Promise<Rows> {
    return this.#decode(this.#dictionaries.find(id), codes, context);
  }

  async #decode(dictionary: ServedDictionary, codes: CodesToDecode, context: RequestContext): Promise<Rows> {
    const { manifest } = dictionary.serving();
    checkCodes(codes, manifest);
    const kept = codesOfGroup(codes, manifest);
    const data = await dictionary.decode(kept, context.span, () => checkStillWanted(context, this.now(), "decoded"));
    const { dOut, layers } = manifest;
    checkDecoded(data, dOut);
    return { data, count: codes.count, width: dOut, ...(layers && { layers }) };
  }

  async transfer(request: TransferRequest, context: RequestContext): Promise<TransferAnswer> {
    const { from, to } = request;
    const releases: (() => void)[] = [];
    try {
      // One after the other: neither is unloaded for the other.
      for (const id of [from, to]) {
        const held = this.hold(id);
        if (held !== null) releases.push(await held);
      }
      return await this.#dictionaries.byPresent([from, to], ([source, target]) =>
        this.#transfer(source!, target!, request, context),
      );
    } finally {
      for (const release of releases) release();
    }
  }

  async #transfer(
    source: ServedDictionary,
    target: ServedDictionary,
    { from, to, rows, budget, encoder, summary = false }: TransferRequest,
    context: RequestContext,
  ): Promise<TransferAnswer> {
    // Both before anything queues: what cannot be decoded need not be encoded.
    const { manifest, sha256: decodedBy } = target.serving();
    checkPair({ from, to }, source.serving().manifest, manifest);
    const work = { rows, budget, trace: false, reconstruction: false, summary, ...(encoder && { encoder }) };
    const { codes, totalVariance, sha256, pursuit } = await this.#encode(source, work, context);
    const { norm: _, ...code } = codes;
    const outputs = await this.#decode(target, { ...code, ...unnormed(rows.count, manifest) }, context);
    return {
      outputs,
      codes,
      ...(pursuit && { pursuit }),
      totalVariance,
      sha256: { from: sha256, to: decodedBy },
      inputNorm: manifest.encoder.inputNorm,
    };
  }

  steer(id: string, request: SteerRequest, context: RequestContext): Promise<SteerAnswer> {
    return this.#dictionaries.byPresent([id], ([dictionary]) => this.#steer(dictionary!, request, context));
  }

  async #steer(dictionary: ServedDictionary, request: SteerRequest, context: RequestContext): Promise<SteerAnswer> {
    const { role } = dictionary.serving().manifest;
    if (!makesItsRow(role)) {
      const message = `Dictionary ${dictionary.id} is a ${role}: its features make another activation than the row, so there is nothing in the row to edit. Encode, change the codes, and decode them.`;
      throw new EngineError("PURSUIT_ROLE_MISMATCH", message);
    }
    await this.#check(dictionary, request.rows, context);
    const set = request.set === undefined ? null : await this.steering.use(dictionary.id, request.set);
    const serving = dictionary.serving();
    const { manifest, sha256 } = serving;
    const { overDecoder } = chooseEncoder(manifest, request.encoder);
    budgetColumns(request.budget, request.rows.count, (overDecoder ? serving.pursuit : serving).rule);
    const by = {
      d: manifest.dIn,
      m: manifest.m,
      sha256,
      setEdits: set === null ? [] : freshEdits(dictionary.id, set, sha256),
      encode: (encode: EncodeRequest) => this.#encode(dictionary, encode, context),
      steer: (batch: Parameters<ServedDictionary["steer"]>[0]) =>
        dictionary.steer(batch, context.span, () => checkStillWanted(context, this.now(), "steered")),
      now: () => this.now(),
      onSteered: (start: number) => this.#stage("steer", dictionary.id, context, start),
    };
    const answer = await steer(request, by);
    const { layers } = manifest;
    return layers === undefined ? answer : { ...answer, rows: { ...answer.rows, layers } };
  }

  async feature(id: string, index: number, { span }: RequestContext): Promise<Feature> {
    const dictionary = this.#dictionaries.find(id);
    checkFeature(id, index, dictionary.serving().manifest.m);
    return dictionary.feature(index, span);
  }

  labels(id: string, indices: Uint32Array): readonly (FeatureLabel | null)[] {
    const features = this.#dictionaries.find(id).labels();
    return Array.from(indices, (index) => features.label(index) ?? null);
  }

  featuresVersion(id: string): string {
    const { sha256, features } = this.#dictionaries.find(id).serving();
    return `${sha256.slice(0, 16)}-${features.version}`;
  }

  features(id: string, query: FeatureQuery, { span }: RequestContext): Promise<FeaturePage> {
    return this.#dictionaries.find(id).listFeatures(query, span);
  }

  async nearestFeatures(
    id: string,
    rows: Rows,
    count: number,
    context: RequestContext,
  ): Promise<readonly (FeatureSummary & Neighbour)[]> {
    const dictionary = this.#dictionaries.find(id);
    const { dOut, layers } = dictionary.serving().manifest;
    checkWidth(rows, { dIn: dOut, ...(layers !== undefined && { layers }) });
    const onTurn = (): void => checkStillWanted(context, this.now(), "compared");
    await checkFinite(rows, { summary: false, onTurn });
    return dictionary.nearestFeatures(rows.data, count, context.span);
  }

  async map(id: string): Promise<Float32Array> {
    const map = this.#dictionaries.find(id).map();
    if (map !== null) return map;
    throw new EngineError("PURSUIT_NO_STATISTICS", `Dictionary ${id} has no map: pursuit stats ${id} makes one.`);
  }

  async examples(id: string): Promise<ExampleRows> {
    const dictionary = this.#dictionaries.find(id);
    const found = await dictionary.examples();
    if (found === null) {
      const message = `Dictionary ${id} has no examples: its folder has no examples.safetensors with examples.json beside it.`;
      throw new EngineError("PURSUIT_NO_EXAMPLES", message);
    }
    const { rows: data, texts } = found;
    return { rows: { data, count: texts.length, width: dictionary.serving().manifest.dIn }, texts };
  }

  /** Loads every dictionary that was there at the start; resolves when each is ready or failed. */
  start(): Promise<void> {
    return this.#dictionaries.start();
  }

  load(id: string): Promise<DictionaryStatus> {
    return this.#dictionaries.load(id);
  }

  unload(id: string): Promise<DictionaryStatus> {
    return this.#dictionaries.unload(id);
  }

  /** Not ready from now on, though it still answers: the first step of a rolling restart. */
  drain(): void {
    this.#dictionaries.drain();
  }

  /** Answers what was accepted, then ends every runtime process. */
  close(): Promise<void> {
    return this.#dictionaries.close();
  }
}

/** @throws EngineError PURSUIT_FEATURE_NOT_FOUND */
function checkFeature(id: string, index: number, m: number): void {
  if (Number.isInteger(index) && index >= 0 && index < m) return;
  const message = `Dictionary ${id} has features 0 to ${m - 1}; there is no ${index}.`;
  throw new EngineError("PURSUIT_FEATURE_NOT_FOUND", message);
}
