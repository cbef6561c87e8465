import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FormatError } from "../../../../src/engine/dictionaries/formats/format-error.ts";
import { MAX_OPCODES, PickleTuple, readPickle } from "../../../../src/engine/dictionaries/formats/pickle.ts";
import { callBytes, OP, pickleBytes, Tuple, valueBytes } from "../../../support/torch-bytes.ts";

/** Rules that name what they are asked for. */
const NAMING = {
  global: (name: string) => ({ global: name }),
  call: (callable: unknown, args: readonly unknown[]) => ({ callable, args }),
  persistent: (id: unknown) => ({ id }),
  build: (target: unknown, state: unknown) => {
    if (target instanceof Map) target.set("state", state);
  },
};

/** Rules of a reader that knows no globals. */
const NONE = {
  ...NAMING,
  global: (name: string) => {
    throw new Error(`names ${name}`);
  },
};

const read = (bytes: Uint8Array, rules = NAMING): unknown => readPickle("f.pt", bytes, rules).value;

/** Values as the reader gives them. */
function asRead(value: unknown): unknown {
  if (value instanceof Tuple) return new PickleTuple(value.items.map(asRead));
  if (Array.isArray(value)) return value.map(asRead);
  if (value instanceof Map) return new Map([...value].map(([key, one]) => [key, asRead(one)]));
  return value;
}

const { value: anyValue } = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.constantFrom(null, true, false),
    fc.integer(),
    fc.maxSafeInteger(),
    fc.bigInt({ min: 2n ** 53n, max: 2n ** 200n }),
    fc.bigInt({ min: -(2n ** 200n), max: -(2n ** 53n) }),
    fc.double({ noNaN: true }).filter((value) => !Number.isInteger(value) || Object.is(value, -0)),
    fc.string({ unit: "grapheme" }),
    fc.array(tie("value"), { maxLength: 6 }),
    fc.array(tie("value"), { maxLength: 6 }).map((items) => new Tuple(...items)),
    fc
      .array(fc.tuple(fc.oneof(fc.string(), fc.integer()), tie("value")), { maxLength: 6 })
      .map((items) => new Map(items)),
  ),
}));

describe("a pickle", () => {
  it("reads as the value that was written, to the byte after its end", () => {
    fc.assert(
      fc.property(anyValue, fc.uint8Array({ maxLength: 8 }), (value, after) => {
        const bytes = pickleBytes(value);
        const { value: found, end } = readPickle("f.pt", Buffer.concat([bytes, after]), NAMING);
        expect(found).toEqual(asRead(value));
        expect(end).toBe(bytes.length);
      }),
      { seed: 11, numRuns: 500 },
    );
  });

  it("of any bytes, or damaged in any place, is refused or read: never another error, never a call", () => {
    const sound = pickleBytes(new Map([["a", [1, new Tuple(2, "x"), callBytes("m", "f", 1.5)]]]));
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array({ maxLength: 60 }),
          fc
            .array(fc.tuple(fc.nat(sound.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 })
            .map((changes) => changes.reduce((bytes, [at, byte]) => bytes.with(at, byte), new Uint8Array(sound))),
          fc.nat(sound.length - 1).map((length) => sound.subarray(0, length)),
        ),
        (bytes) => {
          try {
            read(bytes);
          } catch (error) {
            expect(error).toBeInstanceOf(FormatError);
          }
        },
      ),
      { seed: 12, numRuns: 5000 },
    );
  });

  it("hands globals, calls, references and states to its rules", () => {
    const call = callBytes("collections", "OrderedDict", 1);
    const made = { callable: { global: "collections.OrderedDict" }, args: [1] };
    expect(read(pickleBytes(call))).toEqual(made);
    expect(read(pickleBytes(Buffer.concat([valueBytes("key"), OP.persistentId])))).toEqual({ id: "key" });
    expect(read(pickleBytes(Buffer.concat([OP.emptyDict, valueBytes(7), OP.build])))).toEqual(new Map([["state", 7]]));
    const bytes = Buffer.from("80028a0a6cfc9c46f9206aa850192e", "hex");
    expect(read(bytes)).toBe(0x1950a86a20f9469cfc6cn);
  });

  it.each<[string, string, unknown]>([
    [
      "LONG_BINPUT and LONG_BINGET",
      "K\u0007r\u0000\u0000\u0001\u0000j\u0000\u0000\u0001\u0000\u0086",
      new PickleTuple([7, 7]),
    ],
    ["SHORT_BINSTRING", "U\u0003abc", "abc"],
    ["APPEND", "]K\u0001aK\u0002a", [1, 2]],
    ["SETITEM", "}U\u0001aK\u0001s", new Map([["a", 1]])],
    ["EMPTY_SET", "\u008f", new Set()],
    ["NEWOBJ", "cm\nC\n)\u0081", { callable: { global: "m.C" }, args: [] }],
    [
      "BININT, BININT1, BININT2",
      "J\u00fe\u00ff\u00ff\u00ffK\u00ffM\u0000\u0001\u0087",
      new PickleTuple([-2, 255, 256]),
    ],
    ["LONG1", "\u008a\u0000\u008a\u0001\u00ff\u0086", new PickleTuple([0, -1])],
  ])("reads %s", (_, opcodes, value) => {
    expect(read(Buffer.from(`\u0080\u0002${opcodes}.`, "latin1"))).toEqual(value);
  });

  it("shares a value that its memo repeats", () => {
    const twice = Buffer.concat([OP.emptyList, OP.mark, OP.emptyDict, OP.put(3), OP.get(3), OP.appends]);
    const [a, b] = read(pickleBytes(twice)) as unknown[];
    expect(a).toEqual(new Map());
    expect(b).toBe(a);
  });

  it.each([
    ["INST", "(ios\nsystem\n", /uses the opcode INST \(0x69\), which torch\.save does not write.*\(byte 3\)/],
    ["OBJ", "(o", /uses the opcode OBJ/],
    ["EXT1", "\u0082\u0001", /uses the opcode EXT1/],
    ["STACK_GLOBAL", "\u0093", /uses the opcode STACK_GLOBAL/],
    ["NEWOBJ_EX", "\u0092", /uses the opcode NEWOBJ_EX/],
    ["MEMOIZE", "\u0094", /uses the opcode MEMOIZE/],
    ["POP", "N0", /uses the opcode POP/],
    ["no opcode", "\u00FF", /is damaged: 0xff is not an opcode \(byte 2\)/],
    ["protocol 4", "\u0080\u0004", /is of protocol 4; save it without pickle_protocol/],
    ["an unknown global", "cos\nsystem\n", /names os\.system \(byte 2\)/],
    ["a global without end", `cos\n${"x".repeat(300)}`, /names a global without end, or of more than 256 bytes/],
    ["an empty stack", ".", /takes a value from an empty stack/],
    ["a mark as a value", "(.", /takes a value from an empty stack/],
    ["no mark", "]Ne", /closes a list that it never opened/],
    ["an item of a list", "]NNs", /sets an item of something that is not a dict/],
    ["a key without a value", "}(Nu", /sets a key without a value/],
    ["a dict as a key", "}}Ns", /whose key is neither text nor a number/],
    ["an item appended to a dict", "}Na", /appends to something that is not a list/],
    ["an unknown memo entry", "h\u0007", /recalls value 7, which it never stored/],
    ["arguments that are no tuple", "N]R", /calls something without a tuple/],
    ["no end", "X\u00FF\u00FF\u00FF\u00FFa", /ends after 8 bytes, before it should/],
    ["text that is not UTF-8", "U\u0001\u00FF.", /holds text that is not UTF-8/],
  ])("is refused for %s", (_, opcodes, message) => {
    const bytes = Buffer.from(`\u0080\u0002${opcodes}`, "latin1");
    expect(() => read(bytes, NONE)).toThrow(FormatError);
    expect(() => read(bytes, NONE)).toThrow(message);
    expect(() => read(bytes, NONE)).toThrow(/^f\.pt: its pickle /);
  });

  it("of too many opcodes is refused", () => {
    expect(() => read(Buffer.alloc(MAX_OPCODES + 1, "N"))).toThrow("has more than 1000000 opcodes");
  });
});
