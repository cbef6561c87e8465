import { afterAll, describe, expect, it } from "vitest";
import { FORMATS } from "../../../src/codecs/write-codes.ts";
import { WireError } from "../../../src/codecs/codec-error.ts";
import { WirePool } from "../../../src/routes/threads/pool.ts";
import { codesOf } from "../../support/codes.ts";
import { random } from "../../support/seeded.ts";
import { takeDescriptors } from "../../support/take-descriptors.ts";
import { until } from "../../support/until.ts";

/** The pool moves work of 256 KiB and more to a thread, rows of 512 KiB; spaces make a small body such a large one. */
const LARGE = 600 * 1024;
const LIMITS = { maxRows: 20_000, maxUnpacked: 1 << 28 };
const MEMORY = { maxUnpacked: LIMITS.maxUnpacked, maxAnswer: 1 << 28 };
const pool = new WirePool(MEMORY);
afterAll(() => pool.close());

const bytesOf = (text: string): Uint8Array<ArrayBuffer> => new Uint8Array(Buffer.from(text));
/** One body twice: small, and padded to be large. */
const both = (text: string): readonly [Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>] => [
  bytesOf(text),
  bytesOf(text + " ".repeat(LARGE)),
];

describe("the wire pool", () => {
  it("reads the same rows on its own thread as on this one, and moves the large body there", async () => {
    const [small, large] = both('{"inputs": [[0.1, 2], [3, -4e-7]], "budget": {"max_atoms": 3}}');
    const here = await pool.read("encode", small, LIMITS);
    expect(await pool.read("encode", large, LIMITS)).toEqual(here);
    expect(here.rows.data).toEqual(Float32Array.of(0.1, 2, 3, -4e-7));
    expect([small.byteLength > 0, large.byteLength]).toEqual([true, 0]);
  });

  it("reads the same codes on its own thread as on this one", async () => {
    const [small, large] = both(
      '{"codes": [{"indices": [3, 1], "values": [0.5, -1], "norm": {"shift": 1, "scale": 2}}]}',
    );
    expect(await pool.read("decode", large, LIMITS)).toEqual(await pool.read("decode", small, LIMITS));
  });

  it.each(["{", '{"inputs": [[NaN]]}', '{"inputs": [[1], [1, 2]]}', '{"inputs": [[[[[1]]]]]}', '{"inputs": []}', "[]"])(
    "finds the same fault in %j",
    async (text) => {
      const [small, large] = both(text);
      const here: unknown = await pool.read("encode", small, LIMITS).catch((error: unknown) => error);
      const there: unknown = await pool.read("encode", large, LIMITS).catch((error: unknown) => error);
      expect(here).toBeInstanceOf(WireError);
      expect(there).toBeInstanceOf(WireError);
      expect((there as WireError).code).toBe((here as WireError).code);
      // Where it was cut is told in characters, and there the bodies differ.
      const sentence = (error: unknown): string => (error as WireError).message.replace(/\d+ characters/, "");
      expect(sentence(there)).toBe(sentence(here));
    },
  );

  it("reads a small body while large ones are read and wait", async () => {
    const done: string[] = [];
    const large = bytesOf(
      `{"codes": [${'{"indices": [1], "values": [0.5]},'.repeat(60_000)}{"indices": [], "values": []}]}`,
    );
    const limits = { ...LIMITS, maxRows: 100_000 };
    const larges = Array.from({ length: 6 }, async () => {
      await pool.read("decode", large.slice(), limits);
      done.push("large");
    });
    const [, small] = both('{"inputs": [[1, 2]]}');
    const read = pool.read("encode", small, limits).then(() => done.push("small"));
    await Promise.all([...larges, read]);
    expect(done.at(-1)).toBe("large");
  });

  it.each(FORMATS)("writes the same answer in format %s", async (format) => {
    const { next } = random(1);
    const row = {
      entries: Array.from({ length: 40 }, (_, k) => [k * 3, next() - 0.5] as const),
      stop: "repeat" as const,
    };
    const head = { dictionary: "a", sha256: "b", format, shape: null, totalVariance: 0.5, labels: null };
    const [few, many] = [
      codesOf([row], 200),
      codesOf(
        Array.from({ length: 800 }, () => row),
        200,
      ),
    ];
    const here = await pool.writeCodes(few, head);
    const there = await pool.writeCodes(many, head);
    expect([typeof here, there instanceof Uint8Array]).toEqual(["string", true]);
    const [one, all] = [here, Buffer.from(there).toString()].map((text) => JSON.parse(String(text)) as Wire);
    if (format === "csr") {
      expect(all!.values!.slice(0, 40)).toEqual(one!.values);
      expect(all!.indptr).toEqual(Array.from({ length: 801 }, (_, i) => i * 40));
    } else {
      expect(all!.codes).toHaveLength(800);
      expect(new Set(all!.codes!.map((code) => JSON.stringify(code)))).toEqual(
        new Set([JSON.stringify(one!.codes![0])]),
      );
    }
  });

  it("takes over memory that holds one column only, never what others share", async () => {
    const rows = Array.from({ length: 8000 }, (_, i) => ({ entries: [[i % 200, 1]] as const }));
    const own = codesOf(rows, 200);
    const shared = codesOf(rows, 200);
    const memory = new ArrayBuffer(2 * shared.values.byteLength);
    const beside = { ...shared, values: new Float32Array(memory, 0, shared.values.length).fill(0.5) };
    const head = { dictionary: "a", sha256: "b", shape: null, totalVariance: null, labels: null } as const;
    const written = await pool.writeCodes(own, { ...head, format: "csr" });
    expect(own.values).toHaveLength(0);
    await pool.writeCodes(beside, { ...head, format: "csr" });
    expect([beside.values.length, beside.indices.length]).toEqual([8000, 0]);
    const { values } = JSON.parse(Buffer.from(written).toString()) as { values: number[] };
    expect(new Set(values)).toEqual(new Set([1]));
  });

  it("writes the same rows", async () => {
    const { normal } = random(2);
    const data = Float32Array.from({ length: 40_000 }, normal);
    const there = await pool.writeRows({ data, count: 20_000, width: 2 });
    expect(there).toBeInstanceOf(Uint8Array);
    const { outputs } = JSON.parse(Buffer.from(there).toString()) as { outputs: number[][] };
    expect(Float32Array.from(outputs.flat())).toEqual(data);
    expect(await pool.writeRows({ data: data.subarray(0, 2), count: 1, width: 2 })).toBe(
      JSON.stringify({ outputs: outputs.slice(0, 1) }),
    );
  });

  it("reads a large body that came while no thread could be started, once one can", async () => {
    const warned: string[] = [];
    const short = new WirePool({ ...MEMORY, warn: (message) => warned.push(message) });
    const [small, large] = both('{"inputs": [[0.1, 2]]}');
    const lift = await takeDescriptors(process.pid);
    const reading = short.read("encode", large, LIMITS);
    await until(() => warned.length > 1);
    await lift();
    expect(warned[0]).toMatch(/^No thread for large bodies could be started: .*EMFILE.*Trying again in 100 ms/);
    expect(await reading).toEqual(await short.read("encode", small, LIMITS));
    await short.close();
  });
});

interface Wire {
  readonly codes?: readonly unknown[];
  readonly values?: readonly number[];
  readonly indptr?: readonly number[];
}
