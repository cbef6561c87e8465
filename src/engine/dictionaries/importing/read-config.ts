import { Fault } from "../../core/errors.ts";
import { basename } from "node:path";
import { isObject } from "../../core/json-object.ts";
import { FormatError } from "../formats/format-error.ts";
import { type NonFinite, readJsonFile, shownJson } from "../formats/json-file.ts";
import type { Known } from "./understood.ts";

/** Settings and metadata take some kilobytes. */
const MAX_CONFIG_BYTES = 16 << 20;

/** A test of a setting's value, and the values that pass it in words. */
export interface Check<T> {
  readonly test: (value: unknown) => value is T;
  readonly words: string;
}

/** A library's settings beside its weights, such as SAELens' cfg.json. Collects faults, so that all are told at once. */
export class Config {
  readonly file: string;
  readonly #values: Readonly<Record<string, unknown>>;
  readonly #nonFinite: readonly NonFinite[];
  readonly #library: string;
  readonly #read = new Set<string>();
  readonly #faults: string[] = [];

  private constructor(path: string, values: Record<string, unknown>, nonFinite: readonly NonFinite[], library: string) {
    this.file = basename(path);
    this.#values = values;
    this.#nonFinite = nonFinite;
    this.#library = library;
  }

  /** @throws FormatError when it is no JSON object; the system's error when it cannot be read */
  static async read(path: string, library: string): Promise<Config> {
    const { value, nonFinite } = await readJsonFile(path, MAX_CONFIG_BYTES, path);
    if (!isObject(value)) throw new FormatError(path, `holds no JSON object; ${library} writes {"d_in": …}.`);
    return new Config(path, value, nonFinite, library);
  }

  /** A value as the file has it; undefined where the key is absent or null. */
  get(key: string): unknown {
    this.#read.add(key);
    return this.#values[key] ?? undefined;
  }

  /** A setting, or the library's default where the file has no such key. A value of another type is a fault. */
  setting<T>(key: string, fallback: T, { test, words }: Check<T>): Known<T> {
    this.#read.add(key);
    const value = this.#values[key];
    if (value === undefined) return { value: fallback, from: `${this.#library}' default` };
    if (test(value)) return { value, from: this.file };
    const place = this.#nonFinite.find(({ path }) => path.length === 1 && path[0] === key)?.text;
    this.fault(`${place ?? `${key} is ${shownJson(value)}`}; ${this.#library} takes ${words}.`);
    return { value: fallback, from: this.file };
  }

  /** A setting that the file must hold. */
  required<T>(key: string, fallback: T, check: Check<T>): T {
    if (this.#values[key] === undefined) this.fault(`${key} is missing; it must be ${check.words}.`);
    return this.setting(key, fallback, check).value;
  }

  /** The settings under a key that holds an object. It collects faults of its own. */
  section(key: string): Config {
    const values = this.#values[key];
    return new Config(`${this.file} ${key}`, isObject(values) ? values : {}, [], this.#library);
  }

  /** Notes a fault; {@link Config.settle} throws it with the others. */
  fault(sentence: string): void {
    this.#faults.push(`${this.file}: ${sentence}`);
  }

  /**
   * Every key must have been read, or be known to play no part in encoding: a library that reads a new key may encode
   * differently by it. Throws every fault found so far.
   * @param harmless keys without a part in encoding or decoding
   * @throws Fault
   */
  settle(harmless: ReadonlySet<string>, what: string): void {
    const unread = Object.keys(this.#values).filter(
      (key) => !this.#read.has(key) && !harmless.has(key) && this.#values[key] !== null,
    );
    if (unread.length > 0) {
      const shownKeys = unread.slice(0, 8).map((key) => `${key.slice(0, 60)} (${shownJson(this.#values[key])})`);
      const more = unread.length > shownKeys.length ? `, and ${unread.length - shownKeys.length} more` : "";
      this.fault(
        `${shownKeys.join(", ")}${more}: ${what} has no such setting, and it might change the codes. ` +
          "If it plays no part in encoding, take it out of the file.",
      );
    }
    this.throwFaults();
  }

  /** Throws every fault found so far. @throws Fault */
  throwFaults(): void {
    if (this.#faults.length > 0) throw new Fault("import", this.#faults);
  }

  /** What the file holds beside its settings that JSON lacks: numbers in metadata, such as a loss that was NaN. */
  get notes(): readonly string[] {
    if (this.#nonFinite.length === 0) return [];
    const more = this.#nonFinite.length > 3 ? `, and ${this.#nonFinite.length - 3} more` : "";
    const places = this.#nonFinite.slice(0, 3).map(({ text }) => text);
    return [`${this.file}: ${places.join(", ")}${more}. JSON has no such number, so it is not kept.`];
  }
}

export const BOOLEAN: Check<boolean> = { test: (value) => typeof value === "boolean", words: "true or false" };
export const STRING: Check<string> = { test: (value) => typeof value === "string", words: "a string" };
export const COUNT: Check<number> = {
  test: (value): value is number => Number.isSafeInteger(value) && (value as number) >= 1,
  words: "an integer ≥ 1",
};
export const OBJECT: Check<Record<string, unknown>> = { test: isObject, words: "an object" };
export const NUMBER: Check<number> = { test: (value): value is number => Number.isFinite(value), words: "a number" };

/** The same check, with one value more. */
export const or = <T, const U>({ test, words }: Check<T>, more: U): Check<T | U> => ({
  test: (value): value is T | U => value === more || test(value),
  words: `${words}, or ${JSON.stringify(more)}`,
});
