import type { Clock } from "../clock.ts";
import type { DictionaryManifest } from "../dictionary.ts";
import type {
  CodesToDecode,
  DictionaryStatus,
  EncodeAnswer,
  EncodeRequest,
  Engine,
  Feature,
  FoundFeature,
  Readiness,
  RequestContext,
  TransferAnswer,
  TransferRequest,
} from "../engine.ts";
import { EngineError } from "../errors.ts";
import type { Rows } from "../rows.ts";
import type { SteerAnswer, SteerRequest } from "../steering.ts";
import { checkPair, unnormed } from "./transfer-pair.ts";
import { budgetClasses, budgetColumns, checkWidth } from "./check-encode.ts";
import { checkCodes, checkDecoded } from "./check-codes.ts";
import type { ServedDictionary } from "./served-dictionary.ts";
import { joinCodes } from "./split-codes.ts";
import { finiteSpread } from "./spread/finite-spread.ts";
import { SpreadKernel } from "./spread/spread-kernel.ts";
import { checkStillWanted } from "./still-wanted.ts";
import { ServedSets } from "./steering/served-sets.ts";
import { steer } from "./steering/steer.ts";
import type { SteeringStore } from "./steering/steering-store.ts";

/**
 * Whether encoder "orthogonal" is another encoder than the dictionary's own.
 * @throws EngineError PURSUIT_ENCODER_UNAVAILABLE
 */
function runsOrthogonal(id: string, { kind }: DictionaryManifest): boolean {
  if (kind === "matching_pursuit") return true;
  if (kind === "orthogonal_matching_pursuit") return false;
  const message = `encoder "orthogonal": dictionary ${id} is of kind ${kind}, which has an encoder of its own and none of pursuit. Leave encoder out.`;
  throw new EngineError("PURSUIT_ENCODER_UNAVAILABLE", message);
}

export interface CatalogOptions {
  readonly clock: Clock;
  /** A version of the dictionary in the models folder's folder of that name, not yet loaded; null where there is none. */
  readonly open: (id: string) => Promise<ServedDictionary | null>;
  readonly sets: SteeringStore;
}

/** The engine over a set of served dictionaries: finds the one meant, checks the request, queues it, joins the answer. */
export class CatalogEngine implements Engine {
  /** The present version of each. */
  readonly #dictionaries: Map<string, ServedDictionary>;
  readonly #clock: Clock;
  readonly steering: ServedSets;
  readonly #open: CatalogOptions["open"];
  /** Made at once: where it was not built, the server does not start. */
  readonly #spread = new SpreadKernel();
  /** Loads and unloads under way, by dictionary: one at a time each. */
  readonly #changes = new Map<string, Promise<unknown>>();
  /** Whether every dictionary that was there at the start has been loaded or found broken. */
  #started = false;
  #draining = false;

  constructor(dictionaries: readonly ServedDictionary[], { clock, open, sets }: CatalogOptions) {
    this.#dictionaries = new Map(dictionaries.map((dictionary) => [dictionary.id, dictionary]));
    this.#clock = clock;
    this.#open = open;
    this.steering = new ServedSets(sets, {
      sha256: (id) => this.status(id).sha256,
      serving: (id) => {
        const { manifest, sha256 } = this.#find(id).serving();
        return { d: manifest.d, m: manifest.m, sha256 };
      },
    });
  }

  now(): number {
    return this.#clock.now();
  }

  list(): readonly DictionaryStatus[] {
    return [...this.#dictionaries.values()].map((dictionary) => dictionary.status());
  }

  status(id: string): DictionaryStatus {
    return this.#find(id).status();
  }

  readiness(): Readiness {
    if (this.#draining) return { ready: false, reason: "The server is draining." };
    if (!this.#started) return { ready: false, reason: "Dictionaries are still being loaded." };
    // What an operator loads, unloads or replaces does not take the server from its load balancer.
    const states = [...this.#dictionaries.values()].map(({ state }) => state);
    if (states.every((state) => state === "failed")) return { ready: false, reason: "No dictionary could be loaded." };
    return { ready: true };
  }

  admit(id: string): void {
    this.#find(id).serving().queue.admit();
  }

  encode(id: string, request: EncodeRequest, context: RequestContext): Promise<EncodeAnswer> {
    return this.#byPresent([id], ([dictionary]) => this.#encode(dictionary!, request, context));
  }

  async #encode(dictionary: ServedDictionary, request: EncodeRequest, context: RequestContext): Promise<EncodeAnswer> {
    const { rows, budget, trace, reconstruction, encoder, degrade = false } = request;
    const checked = this.#check(dictionary, rows, context);
    // Few rows are in the queue before this returns: what was asked before an unload is answered.
    const spread = typeof checked === "number" ? checked : await checked;
    // Only now: checking may have taken turns, and from here to the queue nothing may come between.
    const { manifest, queue, rule, sha256 } = dictionary.serving();
    const budgets = budgetColumns(budget, rows.count, rule);
    const uniform = !Array.isArray(budget);
    const submitted = this.#clock.now();
    const { results, queueMilliseconds } = await queue.submit({
      count: rows.count,
      signal: context.signal,
      ...(context.deadline !== undefined && { deadline: context.deadline }),
      rows,
      budgets,
      classes: budgetClasses(budgets, uniform),
      uniform,
      // A one-pass encoder spends the same whatever its budget: there is nothing to shorten.
      degrade: degrade && rule.limits,
      trace,
      reconstruction,
      ...(encoder !== undefined && { orthogonal: runsOrthogonal(dictionary.id, manifest) }),
    });
    const codes = joinCodes(results);
    const encode = this.#clock.now() - submitted - queueMilliseconds;
    return { codes, spread, sha256, times: { queue: queueMilliseconds, encode } };
  }

  /**
   * @returns the rows' spread
   * @throws EngineError PURSUIT_WRONG_WIDTH, PURSUIT_NOT_FINITE, PURSUIT_CLIENT_CLOSED, PURSUIT_TIMEOUT
   */
  #check(dictionary: ServedDictionary, rows: Rows, context: RequestContext): number | Promise<number> {
    checkWidth(rows, dictionary.serving().manifest.d);
    return finiteSpread(rows, this.#spread, () => checkStillWanted(context, this.now(), "encoded"));
  }

  async decode(id: string, codes: CodesToDecode, context: RequestContext): Promise<Rows> {
    return this.#decode(this.#find(id), codes, context);
  }

  async #decode(dictionary: ServedDictionary, codes: CodesToDecode, context: RequestContext): Promise<Rows> {
    const { manifest } = dictionary.serving();
    checkCodes(codes, manifest);
    const data = await dictionary.decode(codes, () => checkStillWanted(context, this.now(), "decoded"));
    checkDecoded(data, manifest.d);
    return { data, count: codes.count, width: manifest.d };
  }

  transfer(request: TransferRequest, context: RequestContext): Promise<TransferAnswer> {
    return this.#byPresent([request.from, request.to], ([source, target]) =>
      this.#transfer(source!, target!, request, context),
    );
  }

  async #transfer(
    source: ServedDictionary,
    target: ServedDictionary,
    { from, to, rows, budget, encoder }: TransferRequest,
    context: RequestContext,
  ): Promise<TransferAnswer> {
    // Both before anything queues: what cannot be decoded need not be encoded.
    const { manifest, sha256: decodedBy } = target.serving();
    checkPair({ from, to }, source.serving().manifest, manifest);
    const own = { rows, budget, trace: false, reconstruction: false };
    const encoded = await this.#encode(source, encoder === "own" ? own : { ...own, encoder }, context);
    const { codes, spread, sha256, times } = encoded;
    const { norm: _, ...code } = codes;
    const outputs = await this.#decode(target, { ...code, ...unnormed(rows.count, manifest) }, context);
    return { outputs, codes, spread, sha256: { from: sha256, to: decodedBy }, times };
  }

  steer(id: string, request: SteerRequest, context: RequestContext): Promise<SteerAnswer> {
    return this.#byPresent([id], ([dictionary]) => this.#steer(dictionary!, request, context));
  }

  /**
   * What takes several calls, by the present versions; once more from the beginning where one of them was replaced between
   * two calls: codes of one version are never added up by atoms of another.
   */
  async #byPresent<T>(
    ids: readonly string[],
    run: (dictionaries: readonly ServedDictionary[]) => Promise<T>,
  ): Promise<T> {
    const present = (): readonly ServedDictionary[] => ids.map((id) => this.#find(id));
    const dictionaries = present();
    try {
      return await run(dictionaries);
    } catch (error) {
      const gone =
        error instanceof EngineError && (error.code === "PURSUIT_DRAINING" || error.code === "PURSUIT_NOT_READY");
      if (!gone || present().every((dictionary, i) => dictionary === dictionaries[i])) throw error;
      return run(present());
    }
  }

  async #steer(dictionary: ServedDictionary, request: SteerRequest, context: RequestContext): Promise<SteerAnswer> {
    await this.#check(dictionary, request.rows, context);
    const { manifest, rule, sha256 } = dictionary.serving();
    budgetColumns(request.budget, request.rows.count, rule);
    const by = {
      d: manifest.d,
      m: manifest.m,
      sha256,
      setEdits: request.set === undefined ? [] : this.steering.use(dictionary.id, request.set),
      encode: (encode: EncodeRequest) => this.#encode(dictionary, encode, context),
      steer: (batch: Parameters<ServedDictionary["steer"]>[0]) =>
        dictionary.steer(batch, () => checkStillWanted(context, this.now(), "steered")),
      now: () => this.now(),
    };
    return steer(request, by);
  }

  async feature(id: string, index: number): Promise<Feature> {
    const dictionary = this.#find(id);
    const { manifest } = dictionary.serving();
    if (!Number.isInteger(index) || index < 0 || index >= manifest.m) {
      const message = `Dictionary ${id} has features 0 to ${manifest.m - 1}; there is no ${index}.`;
      throw new EngineError("PURSUIT_FEATURE_NOT_FOUND", message);
    }
    return dictionary.feature(index);
  }

  labels(id: string, indices: Uint32Array): readonly (string | null)[] {
    const { facts } = this.#find(id).labels();
    return Array.from(indices, (index) => facts.get(index)?.text ?? null);
  }

  search(id: string, query: string, limit: number): readonly FoundFeature[] {
    return this.#find(id).labels().search.find(query, limit);
  }

  /** Loads every dictionary that was there at the start; resolves when each is ready or failed. */
  async start(): Promise<void> {
    await Promise.all(
      [...this.#dictionaries.values()].map((dictionary) => this.#change(dictionary.id, () => dictionary.load())),
    );
    this.#started = true;
  }

  load(id: string): Promise<DictionaryStatus> {
    return this.#change(id, async () => {
      const next = await this.#open(id);
      if (next === null) {
        const message = `There is no folder ${JSON.stringify(id)} in the models folder; put the dictionary there first.`;
        throw new EngineError("PURSUIT_DICTIONARY_NOT_FOUND", message);
      }
      const present = this.#dictionaries.get(id);
      const keeps = present?.state === "ready";
      // Shown while it loads, unless there is one to be served by until then.
      if (!keeps) {
        this.#dictionaries.set(id, next);
        await present?.unload();
      }
      await next.load();
      if (this.#draining) {
        await next.unload();
        throw new EngineError("PURSUIT_DRAINING", "The server is shutting down.", { retryAfter: 1 });
      }
      if (next.state === "failed") {
        const { faults } = next.status();
        const message = `Dictionary ${id} could not be loaded: ${faults.join(" ")}`;
        throw new EngineError(
          "PURSUIT_DICTIONARY_FAILED",
          keeps ? `${message} What was loaded before is still served.` : message,
        );
      }
      this.#dictionaries.set(id, next);
      if (keeps) await present.unload();
      return next.status();
    });
  }

  unload(id: string): Promise<DictionaryStatus> {
    return this.#change(id, async () => {
      const dictionary = this.#find(id);
      if (dictionary.state !== "unloaded") await dictionary.unload();
      return dictionary.status();
    });
  }

  /** Not ready from now on, though it still answers: the first step of a rolling restart. */
  drain(): void {
    this.#draining = true;
  }

  /** Answers what was accepted, then ends every runtime process. */
  async close(): Promise<void> {
    this.#draining = true;
    await Promise.allSettled(this.#changes.values());
    await Promise.all([...this.#dictionaries.values()].map((dictionary) => dictionary.unload()));
  }

  /** One change of a dictionary at a time. @throws EngineError PURSUIT_BEING_REPLACED, PURSUIT_DRAINING */
  async #change<T>(id: string, change: () => Promise<T>): Promise<T> {
    if (this.#draining) {
      throw new EngineError("PURSUIT_DRAINING", "The server is shutting down.", { retryAfter: 1 });
    }
    if (this.#changes.has(id)) {
      const message = `Dictionary ${id} is being loaded, replaced or unloaded already; ask again when that is done.`;
      throw new EngineError("PURSUIT_BEING_REPLACED", message, { retryAfter: 1 });
    }
    const changed = change();
    this.#changes.set(id, changed);
    try {
      return await changed;
    } finally {
      this.#changes.delete(id);
    }
  }

  #find(id: string): ServedDictionary {
    const dictionary = this.#dictionaries.get(id);
    if (dictionary !== undefined) return dictionary;
    throw new EngineError(
      "PURSUIT_DICTIONARY_NOT_FOUND",
      `There is no dictionary ${id}; GET /v1/dictionaries lists them.`,
    );
  }
}
