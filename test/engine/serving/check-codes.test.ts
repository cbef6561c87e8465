import { describe, expect, it } from "vitest";
import { checkCodes, checkDecoded } from "../../../src/engine/serving/check-codes.ts";
import type { InputNorm } from "../../../src/engine/core/dictionary.ts";
import type { CodesToDecode } from "../../../src/engine/core/sparse-codes.ts";
import { EngineError } from "../../../src/engine/core/errors.ts";
import { manifestOf } from "../../support/model-folder.ts";

const manifest = (inputNorm: InputNorm = "none") =>
  manifestOf("a", { atoms: new Float32Array(8), d: 2, settings: { inputNorm } });

function codesOf(rows: readonly (readonly (readonly [number, number])[])[], norm = false): CodesToDecode {
  const indptr = new Uint32Array(rows.length + 1);
  for (const [i, row] of rows.entries()) indptr[i + 1] = indptr[i]! + row.length;
  const column = new Float32Array(rows.length).fill(1);
  return {
    count: rows.length,
    indptr,
    indices: Uint32Array.from(rows.flat(), ([index]) => index),
    values: Float32Array.from(rows.flat(), ([, value]) => value),
    ...(norm && { norm: { shift: column, scale: column } }),
  };
}

describe("checkCodes", () => {
  it("lets sound codes pass, in any order and empty ones too", () => {
    expect(() =>
      checkCodes(
        codesOf([
          [
            [3, 1],
            [0, -2],
          ],
          [],
        ]),
        manifest(),
      ),
    ).not.toThrow();
    expect(() => checkCodes(codesOf([[[3, 1]]], true), manifest("layer_norm"))).not.toThrow();
  });

  it("lets two rows name the same feature", () => {
    expect(() => checkCodes(codesOf([[[3, 1]], [[3, 2]]]), manifest())).not.toThrow();
  });

  it.each([
    [
      "a feature beyond the dictionary",
      codesOf([[], [[4, 1]]]),
      "codes: row 1 names feature 4; the dictionary has features 0 to 3.",
    ],
    [
      "a feature named twice",
      codesOf([
        [
          [1, 1],
          [1, 2],
        ],
      ]),
      "codes: row 0 names feature 1 twice",
    ],
    [
      "a value that float32 cannot hold",
      codesOf([[[1, 1e39]]]),
      "codes: row 0, feature 1 is Infinity; values must be finite",
    ],
    [
      "a norm that the dictionary does not use",
      codesOf([[[1, 1]]], true),
      'codes: this dictionary does not norm its input: leave "norm" out.',
    ],
    [
      "more indices than its rows say",
      { ...codesOf([[[1, 1]]]), indices: Uint32Array.of(1, 2) },
      "codes: indices and values must be of one length",
    ],
    ["a row too few", { ...codesOf([[[1, 1]]]), count: 2 }, "codes: indices and values must be of one length"],
  ])("refuses %s", (_what, codes, message) => {
    expect(() => checkCodes(codes, manifest())).toThrow(EngineError);
    expect(() => checkCodes(codes, manifest())).toThrow(message);
  });

  it("asks for the norm where the dictionary norms its input", () => {
    expect(() => checkCodes(codesOf([[[1, 1]]]), manifest("constant_norm_rescale"))).toThrow(
      /norms its input \(constant_norm_rescale\): each code must carry the "norm"/,
    );
  });
});

describe("checkDecoded", () => {
  it("names the row and column of what float32 could not hold", () => {
    expect(() => checkDecoded(Float32Array.of(1, -3.4e38, 0, 2), 2)).not.toThrow();
    for (const value of [Infinity, -Infinity, Number.NaN]) {
      expect(() => checkDecoded(Float32Array.of(1, 2, 3, value), 2)).toThrow(
        "codes: row 1, column 1 adds up to more than float32 holds.",
      );
    }
  });
});
