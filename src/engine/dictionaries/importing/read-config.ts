import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { isObject } from "../../core/is-object.ts";
import { FormatError } from "../formats/format-error.ts";
import { ImportFault } from "./import-fault.ts";
import type { Known } from "./understood.ts";

/** A library's settings beside its weights, such as SAELens' cfg.json. */
export class Config {
  readonly file: string;
  readonly values: Readonly<Record<string, unknown>>;
  readonly #library: string;

  private constructor(file: string, values: Readonly<Record<string, unknown>>, library: string) {
    this.file = file;
    this.values = values;
    this.#library = library;
  }

  /** @throws FormatError when it is no JSON object; the system's error when it cannot be read */
  static async read(path: string, library: string): Promise<Config> {
    try {
      const values: unknown = JSON.parse(await readFile(path, "utf8"));
      if (isObject(values)) return new Config(basename(path), values, library);
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
    }
    throw new FormatError(path, "is not a JSON object.");
  }

  /** A setting, or the library's default where the file has no such key. @throws ImportFault for another type */
  said<T>(key: string, standard: T, check: (value: unknown) => value is T): Known<T> {
    const value = this.values[key];
    if (value === undefined) return { value: standard, from: `${this.#library}' default` };
    if (check(value)) return { value, from: this.file };
    throw new ImportFault([`${this.file}: ${key} is ${JSON.stringify(value)}, which ${this.#library} does not take.`]);
  }
}

export const isBoolean = (value: unknown): value is boolean => typeof value === "boolean";
export const isString = (value: unknown): value is string => typeof value === "string";
export const isCount = (value: unknown): value is number => Number.isInteger(value) && (value as number) >= 1;
export const isNumber = (value: unknown): value is number => Number.isFinite(value);
