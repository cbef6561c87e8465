import { createHash } from "node:crypto";
import type { Clock } from "../../core/clock.ts";
import { EngineError } from "../../core/errors.ts";
import type { OwnLabel, OwnLabels } from "../../core/features.ts";
import type { StateStore, StoredLabel } from "./state-store.ts";

/** Milliseconds until a label that another replica took is shown here. */
const REFRESH = 5_000;

/** A label as answers show it. */
export interface ShownLabel {
  readonly text: string;
  /** Version of the dictionary that it was written for. */
  readonly sha256: string;
}

export type LabelListener = (dictionary: string, feature: number, label: ShownLabel | null) => void;

/** People's labels of all dictionaries, in memory: answers show them while the database is lost, too. */
export class PersonLabels {
  readonly #store: StateStore;
  readonly #labels = new Map<string, Map<number, ShownLabel>>();
  readonly #listeners: LabelListener[] = [];
  #revision = 0;
  #refreshing: Promise<void> = Promise.resolve();

  constructor(store: StateStore) {
    this.#store = store;
  }

  of(dictionary: string): ReadonlyMap<number, ShownLabel> {
    return this.#labels.get(dictionary) ?? new Map();
  }

  /** Calls `listener` with every change from now on. */
  subscribe(listener: LabelListener): void {
    this.#listeners.push(listener);
  }

  /** Reads what has changed, and goes on to do so where other servers write, too. @returns ends it */
  async start(clock: Pick<Clock, "after">): Promise<() => void> {
    let cancel = (): void => {};
    const again = (): void => {
      cancel = clock.after(REFRESH, () => void this.refresh().finally(again));
    };
    await this.refresh();
    if (this.#store.shared) again();
    return () => cancel();
  }

  /** Reads what has changed. Never rejects: the store logs why it cannot be read. */
  refresh(): Promise<void> {
    this.#refreshing = this.#refreshing.then(async () => {
      const changed = await this.#store.labelsSince(this.#revision).catch(() => []);
      for (const { dictionary, feature, text, sha256, revision } of changed) {
        this.#revision = revision;
        const labels = this.#labels.get(dictionary) ?? new Map<number, ShownLabel>();
        this.#labels.set(dictionary, labels);
        const label = text === null ? null : { text, sha256 };
        if (label === null) labels.delete(feature);
        else labels.set(feature, label);
        for (const listener of this.#listeners) listener(dictionary, feature, label);
      }
    });
    return this.#refreshing;
  }
}

/** Version of a dictionary that is served. */
interface LabelledDictionaries {
  /** @throws EngineError PURSUIT_DICTIONARY_NOT_FOUND, PURSUIT_FEATURE_NOT_FOUND; also when it is not being served */
  readonly serving: (id: string, feature: number) => { readonly sha256: string };
}

/** Reads and writes people's labels, each bound to the version that it was written for. */
export class ServedLabels implements OwnLabels {
  readonly #store: StateStore;
  readonly #shown: PersonLabels;
  readonly #dictionaries: LabelledDictionaries;

  constructor(store: StateStore, shown: PersonLabels, dictionaries: LabelledDictionaries) {
    this.#store = store;
    this.#shown = shown;
    this.#dictionaries = dictionaries;
  }

  async get(id: string, feature: number): Promise<OwnLabel> {
    const { sha256 } = this.#dictionaries.serving(id, feature);
    const label = await this.#store.label(id, feature);
    if (label === undefined) throw notFound(id, feature);
    return { ...label, stale: label.sha256 !== sha256 };
  }

  async save(
    id: string,
    feature: number,
    text: string,
    expects: (version: string | null) => boolean,
  ): Promise<{ label: OwnLabel; created: boolean }> {
    const { sha256 } = this.#dictionaries.serving(id, feature);
    const label = { text, sha256, version: versionOf(text, sha256) };
    let created = false;
    await this.#store.changeLabel(id, feature, (present) => {
      check(feature, present, expects);
      created = present === undefined;
      return label;
    });
    await this.#shown.refresh();
    return { label: { ...label, stale: false }, created };
  }

  async delete(id: string, feature: number, expects: (version: string | null) => boolean): Promise<void> {
    this.#dictionaries.serving(id, feature);
    await this.#store.changeLabel(id, feature, (present) => {
      check(feature, present, expects);
      if (present === undefined) throw notFound(id, feature);
      return null;
    });
    await this.#shown.refresh();
  }
}

const versionOf = (text: string, sha256: string): string =>
  createHash("sha256")
    .update(JSON.stringify([text, sha256]))
    .digest("hex")
    .slice(0, 32);

/** @throws EngineError PURSUIT_PRECONDITION_FAILED where it is not the version that the request expects */
function check(feature: number, present: StoredLabel | undefined, expects: (version: string | null) => boolean): void {
  if (expects(present?.version ?? null)) return;
  const what =
    present === undefined
      ? `Feature ${feature} has no label of a person, and the request expects one`
      : `The label of feature ${feature} is not the version that the request expects`;
  throw new EngineError("PURSUIT_PRECONDITION_FAILED", `${what}. GET it and decide again.`);
}

const notFound = (id: string, feature: number): EngineError =>
  new EngineError("PURSUIT_LABEL_NOT_FOUND", `No person has labelled feature ${feature} of ${id}. PUT a label first.`);
