import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { STOP_REASONS } from "../../../src/engine/core/sparse-codes.ts";
import { OUTPUTS } from "../../../src/routes/oip/tensor.ts";
import { inferBytes, writeInfer } from "../../../src/routes/oip/write-infer.ts";
import { codesOf } from "../../support/codes.ts";
import { unpackAnswer } from "../../support/v2-body.ts";

const D = 3;
const float = fc.float({ noNaN: true, noDefaultInfinity: true }).map((value) => (value === 0 ? 0 : value));
const row = fc.record({
  entries: fc
    .uniqueArray(fc.tuple(fc.integer({ min: 0, max: 50_000 }), float), { maxLength: 6, selector: ([index]) => index })
    .map((entries) => entries.toSorted(([a], [b]) => a - b)),
  residualNorm: float,
  relativeError: float,
  stop: fc.constantFrom(...STOP_REASONS),
  norm: fc.record({ shift: float, scale: float }),
  reconstruction: fc.array(float, { minLength: D, maxLength: D }),
});
const rows = fc.array(row, { minLength: 1, maxLength: 6 });
const wanted = fc
  .shuffledSubarray([...OUTPUTS], { minLength: 1 })
  .chain((names) => fc.tuple(...names.map((name) => fc.record({ name: fc.constant(name), binary: fc.boolean() }))));

describe("writeInfer", () => {
  it("writes every number of the codes, in either form, padded, in the order asked for", () => {
    fc.assert(
      fc.property(rows, wanted, fc.option(fc.string()), (given, outputs, id) => {
        const codes = codesOf(given, 65_536);
        const { bytes, headerLength } = writeInfer(codes, { model: "m", version: "1", id, outputs, d: D });
        expect(headerLength === null).toBe(!outputs.some(({ binary }) => binary));
        const answer = unpackAnswer(Buffer.from(bytes), headerLength ?? undefined);
        expect(answer.id).toBe(id ?? undefined);
        expect(answer.outputs.map(({ name, binary }) => ({ name, binary }))).toEqual(outputs);
        const k = Math.max(1, ...given.map(({ entries }) => entries.length));
        const pad = <T>(list: readonly T[], by: T): T[] => [
          ...list,
          ...Array.from({ length: k - list.length }, () => by),
        ];
        const expected = {
          indices: [
            [given.length, k],
            given.flatMap(({ entries }) =>
              pad(
                entries.map(([index]) => index),
                -1,
              ),
            ),
          ],
          values: [
            [given.length, k],
            given.flatMap(({ entries }) =>
              pad(
                entries.map(([, value]) => value),
                0,
              ),
            ),
          ],
          atoms: [[given.length], given.map(({ entries }) => entries.length)],
          steps: [[given.length], given.map(({ entries }) => entries.length)],
          relative_error: [[given.length], given.map(({ relativeError }) => relativeError)],
          residual_norm: [[given.length], given.map(({ residualNorm }) => residualNorm)],
          stop: [[given.length], given.map(({ stop }) => stop)],
          shift: [[given.length], given.map(({ norm }) => norm.shift)],
          scale: [[given.length], given.map(({ norm }) => norm.scale)],
          reconstruction: [[given.length, D], given.flatMap(({ reconstruction }) => reconstruction)],
        } as const;
        for (const { name, shape, data, datatype } of answer.outputs) {
          const [wantedShape, wantedData] = expected[name as keyof typeof expected];
          expect(shape).toEqual(wantedShape);
          // Shortest decimals are other doubles, but the same float32.
          expect(datatype === "FP32" ? data.map((value) => Math.fround(value as number)) : data).toEqual(wantedData);
        }
      }),
    );
  });

  it("takes no more bytes than foreseen", () => {
    fc.assert(
      fc.property(rows, wanted, (given, outputs) => {
        const codes = codesOf(given, 65_536);
        const head = { model: "m".repeat(128), version: "1", id: "i".repeat(128), outputs, d: D };
        expect(writeInfer(codes, head).bytes.length).toBeLessThanOrEqual(inferBytes(codes, head));
      }),
    );
  });
});
