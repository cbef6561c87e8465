import { DICTIONARY_ID_PATTERN } from "../../core/dictionary.ts";
import type { Edit } from "../../core/edits.ts";
import { EngineError } from "../../core/errors.ts";
import { invalidEdit } from "../../core/read-edits.ts";
import type { Expects, SteeringSet, SteeringSets } from "../../core/steering.ts";
import { checkEdits } from "./check-edits.ts";
import { type StoredSet, versionOf } from "./set-file.ts";
import type { SteeringStore } from "./steering-store.ts";

/** What sets need to know of the dictionaries that they are for. */
export interface SetDictionaries {
  /** Version served now; undefined while there is none. @throws EngineError PURSUIT_DICTIONARY_NOT_FOUND */
  readonly sha256: (id: string) => string | undefined;
  /** @throws EngineError also when it is not being served */
  readonly serving: (id: string) => { readonly d: number; readonly m: number; readonly sha256: string };
}

const NAME = new RegExp(DICTIONARY_ID_PATTERN);

/** Named sets over a store, each bound to the version that it was saved for. */
export class ServedSets implements SteeringSets {
  readonly #store: SteeringStore;
  readonly #dictionaries: SetDictionaries;

  constructor(store: SteeringStore, dictionaries: SetDictionaries) {
    this.#store = store;
    this.#dictionaries = dictionaries;
  }

  list(id: string): readonly SteeringSet[] {
    const sha256 = this.#dictionaries.sha256(id);
    const sets = [...this.#store.of(id)].map(([name, set]) => asServed(name, set, sha256));
    return sets.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  }

  get(id: string, name: string): SteeringSet {
    const sha256 = this.#dictionaries.sha256(id);
    const set = this.#store.of(id).get(name);
    if (set === undefined) throw notFound(id, name);
    return asServed(name, set, sha256);
  }

  /** Edits of a set that is to be used. @throws EngineError PURSUIT_STEERING_SET_NOT_FOUND, PURSUIT_STEERING_SET_STALE */
  use(id: string, name: string): readonly Edit[] {
    const { edits, stale } = this.get(id, name);
    if (!stale) return edits;
    const message = `The steering set ${name} was saved for another version of ${id}: its weights or settings differ from those served now. Check its edits and save it again.`;
    throw new EngineError("PURSUIT_STEERING_SET_STALE", message);
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
    const set = { sha256, edits };
    let created = false;
    await this.#store.change(id, name, (present) => {
      check(name, present, expects);
      created = present === undefined;
      return set;
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
}

function asServed(name: string, set: StoredSet, sha256: string | undefined): SteeringSet {
  return { name, ...set, version: versionOf(set), stale: sha256 !== undefined && sha256 !== set.sha256 };
}

function checkName(name: string): void {
  if (NAME.test(name)) return;
  throw invalidEdit(
    `A steering set's name is 1 to 128 letters, digits, ".", "_" and "-", the first a letter or digit.`,
  );
}

function check(name: string, present: StoredSet | undefined, expects: Expects): void {
  if (expects(present === undefined ? null : versionOf(present))) return;
  const what = present === undefined ? `There is no steering set ${name}` : `The steering set ${name} is another`;
  throw new EngineError("PURSUIT_PRECONDITION_FAILED", `${what} than the request expects; GET it, and decide anew.`);
}

const notFound = (id: string, name: string): EngineError =>
  new EngineError(
    "PURSUIT_STEERING_SET_NOT_FOUND",
    `Dictionary ${id} has no steering set ${JSON.stringify(name.slice(0, 128))}; GET /v1/dictionaries/${id}/steering lists them.`,
  );
