import fc from "fast-check";
import { expect, it } from "vitest";
import { type Steered, steeredBytes, writeSteered } from "../../src/codecs/write-steered.ts";

const HEAD = { dictionary: "d".repeat(128), sha256: "ab".repeat(32), shape: null };

it("never takes more bytes than it said, and reads back as what it was", () => {
  const float = fc.float({ noNaN: true, noDefaultInfinity: true });
  const row = fc.record({
    x: fc.tuple(float, float),
    norm: float,
    before: fc.option(float, { nil: NaN }),
    after: float,
  });
  fc.assert(
    fc.property(
      fc.array(row, { minLength: 1, maxLength: 9 }),
      fc.boolean(),
      fc.integer({ min: -1, max: 2 ** 31 - 1 }),
      (given, named, feature) => {
        const count = given.length;
        const column = (part: "before" | "after"): Float32Array => Float32Array.from(given, (one) => one[part]);
        const steered: Steered = {
          rows: { data: Float32Array.from(given.flatMap(({ x }) => x)), count, width: 2 },
          norms: Float64Array.from(given, ({ norm }) => norm),
          effect: {
            features: Int32Array.of(feature),
            fromSet: named ? 1 : 0,
            before: Float64Array.from(column("before")),
            after: Float64Array.from(column("after")),
            moved: {
              indptr: Uint32Array.from({ length: count + 1 }, (_, i) => i),
              indices: new Uint32Array(count).fill(2 ** 32 - 1),
              before: column("after"),
              after: column("after"),
            },
          },
        };
        const set = named ? "s".repeat(128) : null;
        const text = writeSteered(steered, { ...HEAD, set });
        expect(text.length).toBeLessThanOrEqual(steeredBytes(steered, set));
        const { outputs, changes } = JSON.parse(text) as {
          outputs: number[][];
          changes: { norm: number; edits: { before: number; after: number }[]; moved: object[] }[];
        };
        expect(Float32Array.from(outputs.flat()).map((value) => value + 0)).toEqual(
          steered.rows.data.map((value) => value + 0),
        );
        for (const [i, { edits, moved }] of changes.entries()) {
          expect(edits).toHaveLength(Number.isNaN(given[i]!.before) ? 0 : 1);
          if (edits[0]) expect(Math.fround(edits[0].before) + 0).toBe(given[i]!.before + 0);
          expect(moved).toHaveLength(1);
        }
      },
    ),
  );
});
