import type { Clock } from "../clock.ts";
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
} from "../engine.ts";
import { EngineError } from "../errors.ts";
import type { EngineObserver } from "../observer.ts";
import type { Rows } from "../rows.ts";
import type { SteerAnswer, SteerRequest } from "../steering.ts";
import { budgetColumns, checkRows } from "./check-encode.ts";
import { checkCodes, checkDecoded } from "./check-codes.ts";
import type { ServedDictionary } from "./served-dictionary.ts";
import { joinCodes } from "./split-codes.ts";
import { ServedSets } from "./steering/served-sets.ts";
import { steer } from "./steering/steer.ts";
import type { SteeringStore } from "./steering/steering-store.ts";

/** The engine over a set of served dictionaries: finds the one meant, checks the request, queues it, joins the answer. */
export class CatalogEngine implements Engine {
  readonly #dictionaries: ReadonlyMap<string, ServedDictionary>;
  readonly #clock: Clock;
  readonly #observer: EngineObserver;
  readonly steering: ServedSets;
  #draining = false;

  constructor(
    dictionaries: readonly ServedDictionary[],
    { clock, observer, sets }: { clock: Clock; observer: EngineObserver; sets: SteeringStore },
  ) {
    this.#dictionaries = new Map(dictionaries.map((dictionary) => [dictionary.id, dictionary]));
    this.#clock = clock;
    this.#observer = observer;
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
    const states = [...this.#dictionaries.values()].map(({ state }) => state);
    if (states.some((state) => state === "registered" || state === "loading")) {
      return { ready: false, reason: "Dictionaries are still being loaded." };
    }
    if (!states.includes("ready")) return { ready: false, reason: "No dictionary could be loaded." };
    return { ready: true };
  }

  async encode(id: string, request: EncodeRequest, context: RequestContext): Promise<EncodeAnswer> {
    const { manifest, queue, rule, sha256 } = this.#find(id).serving();
    const { rows, budget, trace, reconstruction } = request;
    checkRows(rows, manifest.d);
    const budgets = budgetColumns(budget, rows.count, rule);
    const submitted = this.#clock.now();
    const { results, queueMilliseconds } = await queue.submit({
      count: rows.count,
      signal: context.signal,
      ...(context.deadline !== undefined && { deadline: context.deadline }),
      rows,
      budgets,
      highestMaxAtoms: budgets.maxAtoms.reduce((highest, atoms) => Math.max(highest, atoms), 0),
      trace,
      reconstruction,
    });
    const codes = joinCodes(results);
    this.#observer.encoded({ dictionary: id, codes, queueSeconds: queueMilliseconds / 1000 });
    const encode = this.#clock.now() - submitted - queueMilliseconds;
    return { codes, sha256, times: { queue: queueMilliseconds, encode } };
  }

  async decode(id: string, codes: CodesToDecode): Promise<Rows> {
    const dictionary = this.#find(id);
    const { manifest } = dictionary.serving();
    checkCodes(codes, manifest);
    const data = await dictionary.decode(codes);
    checkDecoded(data, manifest.d);
    return { data, count: codes.count, width: manifest.d };
  }

  async steer(id: string, request: SteerRequest, context: RequestContext): Promise<SteerAnswer> {
    const dictionary = this.#find(id);
    const { manifest, rule, sha256 } = dictionary.serving();
    checkRows(request.rows, manifest.d);
    budgetColumns(request.budget, request.rows.count, rule);
    const by = {
      d: manifest.d,
      m: manifest.m,
      sha256,
      setEdits: request.set === undefined ? [] : this.steering.use(id, request.set),
      encode: (encode: EncodeRequest) => this.encode(id, encode, context),
      steer: (batch: Parameters<ServedDictionary["steer"]>[0]) => dictionary.steer(batch),
      now: () => this.now(),
    };
    return steer(request, by, context);
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

  /** Loads every dictionary; resolves when each is ready or failed. */
  async load(): Promise<void> {
    await Promise.all([...this.#dictionaries.values()].map((dictionary) => dictionary.load()));
  }

  /** Not ready from now on, though it still answers: the first step of a rolling restart. */
  drain(): void {
    this.#draining = true;
  }

  /** Answers what was accepted, then ends every runtime process. */
  async close(): Promise<void> {
    this.#draining = true;
    await Promise.all([...this.#dictionaries.values()].map((dictionary) => dictionary.unload()));
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
