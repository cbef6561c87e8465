import { random, type Random } from "../../test/support/seeded.ts";

/** Draws and damage that the fuzzers share. */

export type Json = unknown;

/** Draws for one case. */
export class Draw {
  readonly #random: Random;

  constructor(seed: number) {
    this.#random = random(seed);
  }

  below(count: number): number {
    return this.#random.integer(count);
  }

  chance(probability: number): boolean {
    return this.#random.next() < probability;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }

  number(): number {
    return this.#random.normal();
  }

  list<T>(length: number, item: (i: number) => T): T[] {
    return Array.from({ length }, (_, i) => item(i));
  }
}

/** Values in the place of another. */
const ODD: readonly Json[] = [
  null,
  true,
  "",
  "x",
  "x".repeat(5000),
  "\ud800",
  0,
  -0,
  -1,
  0.5,
  1e39,
  1e300,
  -1e300,
  2 ** 31,
  2 ** 32,
  2 ** 53 + 2,
  5e-324,
  [],
  {},
  [[]],
  [[[[[[1]]]]]],
  { data: "", dtype: "float32", shape: [0, 0] },
  { data: "AAAA", dtype: "float64", shape: [1e9, 1e9] },
  { __proto__: 1, constructor: 2 },
];

/** Pieces of text that mean something to a reader. */
export const TOKENS = [
  "[",
  "]",
  "{",
  "}",
  '"',
  ",",
  ":",
  "NaN",
  "-Infinity",
  "1e999",
  "\\u0000",
  "\\",
  "null",
  "\n",
  "\u00e9",
].map((text) => Buffer.from(text));

/** Pieces of files that mean something to a reader. */
export const TOKENS_OF_FILES = [
  ...'NaN -Infinity 1e999 null true \uFEFF { } [ ] " , : \u0000 PK\u0003\u0004 PK\u0001\u0002 \u0093NUMPY'.split(" "),
  "\n",
  "'shape': (",
  "'descr': '|O'",
  '"data_offsets":[0,8]',
  '"F8_E8M0"',
].map((token) => Buffer.from(token, "latin1"));

/** A case's draws: the same whenever they are made. */
export const drawOf = (seed: number, index: number): Draw =>
  new Draw(Math.imul(seed, 0x9e3779b1) ^ Math.imul(index + 1, 0x85ebca6b));

/** Replaces values somewhere in a copy. */
export function oddly(draw: Draw, value: Json, probability: number): Json {
  if (draw.chance(probability)) return draw.pick(ODD);
  if (value instanceof Uint8Array) return value;
  if (Array.isArray(value)) return value.map((one) => oddly(draw, one, probability / 2));
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).map(([key, one]): [string, Json] => [
    draw.chance(probability / 3) ? draw.pick(["x", "inputs", "__proto__", "", key.toUpperCase()]) : key,
    oddly(draw, one, probability),
  ]);
  return Object.fromEntries(entries.filter(() => !draw.chance(probability / 3)));
}

/** Bytes with one to four changes: one replaced, a token inserted, some cut out or copied, the end cut off or repeated. */
export function damaged(draw: Draw, bytes: Buffer, tokens: readonly Buffer[]): Buffer {
  let result = Buffer.from(bytes);
  for (let changes = 1 + draw.below(4); changes > 0; changes--) {
    const at = draw.below(result.length + 1);
    const from = draw.below(result.length + 1);
    switch (draw.below(6)) {
      case 0:
        if (at < result.length) result[at] = draw.below(256);
        break;
      case 1:
        result = Buffer.concat([result.subarray(0, at), draw.pick(tokens), result.subarray(at)]);
        break;
      case 2:
        result = Buffer.concat([
          result.subarray(0, at),
          result.subarray(Math.min(at + 1 + draw.below(9), result.length)),
        ]);
        break;
      case 3:
        result = Buffer.concat([
          result.subarray(0, at),
          result.subarray(from, from + draw.below(80)),
          result.subarray(at),
        ]);
        break;
      case 4:
        result = result.subarray(0, at);
        break;
      default:
        result = Buffer.concat([result, result.subarray(from)]);
    }
  }
  return result;
}
