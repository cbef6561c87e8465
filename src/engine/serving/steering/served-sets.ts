import { LRUCache } from "lru-cache";
import { DICTIONARY_ID_PATTERN } from "../../core/dictionary.ts";
import { type Edit, invalidEdit } from "../../core/edits.ts";
import { EngineError } from "../../core/errors.ts";
import type { Expects, SetPage, SetSummary, SteeringSet, SteeringSets } from "../../core/steering.ts";
import { checkEdits } from "./edit-codes.ts";
import { editsOf, storedSet, type StoredSet } from "./set-file.ts";
import type { SetEntry, StateStore } from "../state/state-store.ts";

/** What sets need to know of the dictionaries that they are for. */
export interface SetDictionaries {
  /** Version served now; undefined while there is none. @throws EngineError PURSUIT_DICTIONARY_NOT_FOUND */
  readonly sha256: (id: string) => string | undefined;
  /** @throws EngineError also when it is not being served */
  readonly serving: (id: string) => { readonly d: number; readonly m: number; readonly sha256: string };
}

const NAME = new RegExp(DICTIONARY_ID_PATTERN);

/** Bytes of files whose edits are kept parsed: some four times as many in memory. */
const CACHED_BYTES = 16 * 2 ** 20;

/** A set that a request names. */
export interface UsedSet {
  readonly name: string;
  readonly edits: readonly Edit[];
  /** Version of the dictionary that it was saved for. */
  readonly sha256: string;
}

/** A set with its edits as objects. */
interface ParsedSet extends StoredSet {
  readonly parsed: readonly Edit[];
}

/** Named sets over a store, each bound to the version that it was saved for. */
export class ServedSets implements SteeringSets {
  readonly #store: StateStore;
  readonly #dictionaries: SetDictionaries;
  /** By version, which changes with everything that a set says. */
  readonly #parsed = new LRUCache<string, ParsedSet>({
    maxSize: CACHED_BYTES,
    sizeCalculation: ({ edits }) => edits.length,
  });
  /** Sets on their way, so that requests which need one at once read it once. */
  readonly #reading = new Map<string, Promise<ParsedSet>>();

  constructor(store: StateStore, dictionaries: SetDictionaries) {
    this.#store = store;
    this.#dictionaries = dictionaries;
  }

  async list(id: string, { after, limit }: SetPage): Promise<readonly SetSummary[]> {
    const sha256 = this.#dictionaries.sha256(id);
    const found = await this.#store.page(id, after, limit);
    return found.map(({ name, ...entry }) => asServed(name, entry, sha256));
  }

  async find(id: string, name: string): Promise<SetSummary> {
    const sha256 = this.#dictionaries.sha256(id);
    const entry = await this.#store.entry(id, name);
    if (entry === undefined) throw notFound(id, name);
    return asServed(name, entry, sha256);
  }

  async get(id: string, name: string): Promise<SteeringSet> {
    const sha256 = this.#dictionaries.sha256(id);
    const set = await this.#store.read(id, name);
    if (set === undefined) throw notFound(id, name);
    return asServed(name, set, sha256);
  }

  /** Edits of a set that is to be used, and the version that they are for. @throws EngineError PURSUIT_STEERING_SET_NOT_FOUND */
  async use(id: string, name: string): Promise<UsedSet> {
    const { version } = await this.find(id, name);
    const { parsed, sha256 } = this.#parsed.get(version) ?? (await this.#read(id, name, version));
    return { name, edits: parsed, sha256 };
  }

  async save(
    id: string,
    name: string,
    edits: readonly Edit[],
    expects: Expects,
  ): Promise<{ set: SteeringSet; created: boolean }> {
    const { sha256, ...shape } = this.#dictionaries.serving(id);
    checkName(name);
    checkEdits(edits, shape);
    const masked = edits.findIndex(({ rows }) => rows !== undefined);
    if (masked >= 0) {
      throw invalidEdit(`edits[${masked}].rows: a set is for any rows; name rows in the request that uses it.`);
    }
    // As text from here on: what waits for the disk takes no more than was sent.
    const set = storedSet(sha256, JSON.stringify(edits));
    const count = edits.length;
    let created = false;
    await this.#store.change(id, name, (present) => {
      check(name, present, expects);
      created = present === undefined;
      return { set, edits: count };
    });
    return { set: asServed(name, set, sha256), created };
  }

  async delete(id: string, name: string, expects: Expects): Promise<void> {
    this.#dictionaries.sha256(id);
    await this.#store.change(id, name, (present) => {
      check(name, present, expects);
      if (present === undefined) throw notFound(id, name);
      return null;
    });
  }

  #read(id: string, name: string, version: string): Promise<ParsedSet> {
    const present = this.#reading.get(version);
    if (present !== undefined) return present;
    const reading = this.#store
      .read(id, name)
      .then((set) => {
        if (set === undefined) throw notFound(id, name);
        const parsed = { ...set, parsed: editsOf(set) };
        this.#parsed.set(set.version, parsed);
        return parsed;
      })
      .finally(() => this.#reading.delete(version));
    this.#reading.set(version, reading);
    return reading;
  }
}

/** @throws EngineError PURSUIT_STEERING_SET_STALE where a set is for another version of its dictionary than is served */
export function freshEdits(id: string, set: UsedSet, sha256: string): readonly Edit[] {
  if (set.sha256 === sha256) return set.edits;
  const message = `The steering set ${set.name} was saved for another version of ${id}: its weights or settings differ from those served now. Check its edits and save it again.`;
  throw new EngineError("PURSUIT_STEERING_SET_STALE", message);
}

const asServed = <T extends { readonly sha256: string }>(
  name: string,
  set: T,
  sha256: string | undefined,
): T & { readonly name: string; readonly stale: boolean } => ({
  name,
  ...set,
  stale: sha256 !== undefined && sha256 !== set.sha256,
});

function checkName(name: string): void {
  if (NAME.test(name)) return;
  throw invalidEdit(
    `A steering set's name is 1 to 128 letters, digits, ".", "_" and "-", the first a letter or digit.`,
  );
}

/** @throws EngineError PURSUIT_PRECONDITION_FAILED where it is not the version that the request expects */
function check(name: string, present: SetEntry | undefined, expects: Expects): void {
  if (expects(present?.version ?? null)) return;
  const what =
    present === undefined
      ? `There is no steering set ${name}, and the request expects one`
      : `The steering set ${name} is not the version that the request expects`;
  throw new EngineError("PURSUIT_PRECONDITION_FAILED", `${what}. GET it and decide again.`);
}

const notFound = (id: string, name: string): EngineError =>
  new EngineError(
    "PURSUIT_STEERING_SET_NOT_FOUND",
    `Dictionary ${id} has no steering set ${JSON.stringify(name.slice(0, 128))}; GET /v1/dictionaries/${id}/steering lists them.`,
  );
