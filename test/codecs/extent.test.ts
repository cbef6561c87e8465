/** Bodies that are small to send and large to hold are refused by their bytes, before anything is made of them. */
import { pack } from "msgpackr";
import { describe, expect, it } from "vitest";
import { BODY_READERS, type BodyForm, type BodyKind, readBody } from "../../src/codecs/read-body.ts";
import { WireError } from "../../src/codecs/codec-error.ts";
import { checkFields } from "../../src/codecs/extent.ts";
import { sample } from "../support/full.ts";
import { BODY_LIMITS } from "../support/limits.ts";

const KINDS = Object.keys(BODY_READERS) as BodyKind[];
const SIZES = { d: 384, m: 8192 };
const SIZE = 32 << 20;

function faultOf(kind: BodyKind, type: "json" | "msgpack", bytes: Uint8Array): Pick<WireError, "code" | "message"> {
  const form: BodyForm = { type, sizes: SIZES };
  try {
    readBody(kind, bytes, form, BODY_LIMITS);
  } catch (error) {
    expect(error).toBeInstanceOf(WireError);
    return error as WireError;
  }
  return { code: "PURSUIT_INTERNAL" as never, message: "it was taken" };
}

const codeOf = (...given: Parameters<typeof faultOf>): string => faultOf(...given).code;

/** A map of one key, whose value is a list of `count` times these bytes. */
function packed(key: string, ...part: number[]): Uint8Array {
  const count = Math.floor(SIZE / part.length);
  const head = [0x81, 0xa0 | key.length, ...Buffer.from(key), 0xdd, count >>> 24, count >>> 16, count >>> 8, count];
  const bytes = Buffer.alloc(head.length + count * part.length, Buffer.from(part));
  bytes.set(head);
  bytes.fill(Buffer.from(part), head.length);
  return new Uint8Array(bytes);
}

const text = (key: string, part: string): Uint8Array =>
  Buffer.from(`{"${key}":[${part.repeat(Math.floor(SIZE / part.length))}0]}`);

const TOO_MUCH = /^PURSUIT_(?:BODY_TOO_LARGE|TOO_MANY_ROWS)$/;

/** The key of each kind whose list may be the longest. */
const KEYS: Readonly<Record<BodyKind, string>> = {
  encode: "inputs",
  search: "inputs",
  steer: "edits",
  fields: "edits",
  contrast: "a",
  decode: "codes",
};

describe.each(KINDS)("a body of kind %s", (kind) => {
  const key = KEYS[kind];
  const packs: [string, number[]][] = [
    ["lists", [0x90]],
    ["maps", [0x80]],
    ["integers", [0x01]],
    ["nothings", [0xc0]],
    ["empty texts", [0xa0]],
    ["empty bytes", [0xc4, 0]],
    ["maps with a key", [0x81, 0xa1, 0x61, 0]],
    ["maps with a feature's number", [0x81, 0xa1, 0x31, 0]],
  ];
  it.each(sample(packs, 3))("of millions of MessagePack %s is too large", (_what, part) => {
    expect(codeOf(kind, "msgpack", packed(key, ...part))).toMatch(TOO_MUCH);
    expect(codeOf(kind, "msgpack", packed("another", ...part))).toMatch(TOO_MUCH);
  });

  const texts = ["[],", "{},", "[0],", '"",', '"ab",', '{"a":0},', "[[0]],", '{"1":0},'];
  it.each(sample(texts, 3))("of millions of %s in JSON is too large", (part) => {
    expect(codeOf(kind, "json", text(key, part))).toMatch(TOO_MUCH);
    expect(codeOf(kind, "json", text("another", part))).toMatch(TOO_MUCH);
  });

  it("of more names in one object than any has is refused, features' numbers not counted", () => {
    const keys = Array.from({ length: 300 }, (_, i) => `"${i}":0`);
    const names = Array.from({ length: 65 }, (_, i) => `"n${i}":0`);
    const refused = expect.stringMatching(/holds an object of over 64 fields/);
    expect(faultOf(kind, "json", Buffer.from(`{"x":{${keys.join(",")}}}`)).message).not.toEqual(refused);
    expect(faultOf(kind, "json", Buffer.from(`{${names.join(",")}}`)).message).toEqual(refused);
    expect(faultOf(kind, "json", Buffer.from(`{"x": [{${names.join(",")}}]}`)).message).toEqual(refused);
    const map = Object.fromEntries(names.map((name) => [name.slice(1, -3), 0]));
    expect(faultOf(kind, "msgpack", new Uint8Array(pack(map))).message).toEqual(refused);
  });

  it("of names that only look like a feature's number is refused", () => {
    const odd = Array.from({ length: 65 }, (_, i) => `"0${i}":0`);
    expect(faultOf(kind, "json", Buffer.from(`{${odd.join(",")}}`)).message).toMatch(/over 64 fields/);
  });
});

describe("a body as large as a request can mean", () => {
  const { maxRows } = BODY_LIMITS;
  const small = { ...BODY_LIMITS, maxRows: 64 };
  const read = (kind: BodyKind, body: unknown) =>
    readBody(kind, Buffer.from(JSON.stringify(body)), { type: "json", sizes: { d: 4, m: 16 } }, small);

  it("of batches of one row, each with a budget of four parts, is read", () => {
    const inputs = Array.from({ length: 64 }, () => [[1, 2, 3, 4]]);
    const budget = inputs.map(() => ({ max_atoms: 1, tolerance: 0.5, residual_norm: 1, min_gain: 0.1 }));
    // Spelt so that no fast way finds the rows.
    expect(read("encode", { budget, inputs: JSON.parse(JSON.stringify(inputs)) as unknown })).toBeTruthy();
  });

  it("of 256 edits, each with rows, a vector and bounds, is read", () => {
    const rows = Array.from({ length: 64 }, (_, row) => row);
    const edit = { vector: [1, 2, 3, 4], op: "project_cap", min: 0, max: 1, rows };
    const when = { feature: 1, op: "set", value: 1, when: { min: 0, max: 1 }, rows };
    expect(read("fields", { edits: Array.from({ length: 256 }, (_, i) => (i % 2 ? edit : when)) })).toBeTruthy();
  });

  it("of codes with traces, norms and labels is read", () => {
    const list = [0, 1, 2, 3];
    const code = {
      indices: list,
      values: list,
      labels: ["a", "b", "c", null],
      norm: { shift: 0, scale: 1 },
      trace: { indices: list, values: list, residual_norms: list },
      reconstruction: list,
    };
    expect(read("decode", { codes: Array.from({ length: 64 }, () => code) })).toBeTruthy();
  });

  it("is not held back by the counts at the server's own limits", () => {
    const inputs = Array.from({ length: maxRows }, () => [0, 1]);
    const bytes = Buffer.from(JSON.stringify({ budget: inputs.map(() => ({ max_atoms: 1 })), inputs }));
    const form: BodyForm = { type: "json", sizes: { d: 2, m: 16 } };
    expect(readBody("encode", bytes, form, BODY_LIMITS)).toMatchObject({ rows: { count: maxRows } });
  });
});

describe("checkFields", () => {
  it("counts entries at every depth, and long texts and keys by their letters", () => {
    expect(() => checkFields({ a: [1, [2, { b: 3 }]] }, 6)).not.toThrow();
    expect(() => checkFields({ a: [1, [2, { b: 3 }]] }, 5)).toThrow('The field "a" holds more than any request needs');
    expect(() => checkFields({ a: "x".repeat(6400) }, 99)).toThrow(/"a"/);
    expect(() => checkFields({ a: { ["x".repeat(6400)]: 1 } }, 99)).toThrow(/"a"/);
    expect(() => checkFields({ ["x".repeat(6400)]: 1 }, 99)).not.toThrow();
  });

  it("names a field that holds binary data, which would be copied whole", () => {
    expect(() => checkFields({ budget: [new Uint8Array(3)] }, 99)).toThrow('The field "budget" holds binary data');
  });
});
