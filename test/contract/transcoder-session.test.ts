/** What a transcoder's session owes: codes of its input, residuals against targets only, and a skip of the raw row. */
import { afterAll, describe, expect, it } from "vitest";
import type { EncodeBatch } from "../../src/engine/core/encode-batch.ts";
import type { OnePassWeights } from "../../src/engine/encoders/one-pass.ts";
import { createEncoderSession } from "../../src/engine/runtime/sessions/create-session.ts";
import { batchOf } from "../support/batch.ts";
import { normals } from "../support/seeded.ts";

const D_IN = 12;
const D_OUT = 7;
const M = 40;
const ROWS = 9;

const rows = normals(ROWS * D_IN, 1).map((value) => value * 3 + 1);
const targets = normals(ROWS * D_OUT, 2);

const weightsOf = (skip: boolean): OnePassWeights => ({
  kind: "relu",
  role: "transcoder",
  dIn: D_IN,
  d: D_OUT,
  m: M,
  atoms: normals(M * D_OUT, 3),
  center: normals(D_OUT, 4),
  settings: { center: true, subtractCenter: false, inputNorm: "layer_norm", skip },
  tensors: {
    encoder_weight: normals(M * D_IN, 5),
    encoder_bias: normals(M, 6),
    ...(skip && { skip: normals(D_OUT * D_IN, 7) }),
  },
});

/** decode(codes) of row i in float64. */
function decoded(weights: OnePassWeights, i: number, code: ReadonlyMap<number, number>): number[] {
  return Array.from({ length: D_OUT }, (_, c) => {
    let sum = weights.center![c]!;
    for (const [j, value] of code) sum += value * weights.atoms[j * D_OUT + c]!;
    const skip = weights.tensors["skip"];
    if (skip) for (let k = 0; k < D_IN; k++) sum += skip[c * D_IN + k]! * rows[i * D_IN + k]!;
    return sum;
  });
}

describe.each([true, false])("a transcoder, skip %s", async (skip) => {
  const weights = weightsOf(skip);
  const session = await createEncoderSession(weights, { runtime: "cpu", path: "residual", threads: 1 });
  afterAll(() => session.release());
  const batch: EncodeBatch = batchOf(rows, D_IN, { maxAtoms: M });
  const measured = await session.encode({ ...batch, targets, reconstruction: true });
  const codeOf = (i: number): Map<number, number> => {
    const { indptr, indices, values } = measured;
    return new Map(Array.from(indices.subarray(indptr[i], indptr[i + 1]), (j, k) => [j, values[indptr[i]! + k]!]));
  };

  it("encodes the normed row, without its centre, which belongs to the output", () => {
    for (let i = 0; i < ROWS; i++) {
      const row = rows.subarray(i * D_IN, (i + 1) * D_IN);
      const mean = row.reduce((sum, value) => sum + value, 0) / D_IN;
      const std = Math.sqrt(row.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (D_IN - 1));
      const { encoder_weight: weight, encoder_bias: bias } = weights.tensors;
      for (let j = 0; j < M; j++) {
        let h = bias![j]!;
        for (let c = 0; c < D_IN; c++) h += (weight![j * D_IN + c]! * (row[c]! - mean)) / (std + 1e-5);
        expect(codeOf(i).get(j) ?? 0).toBeCloseTo(Math.max(h, 0), 4);
      }
    }
  });

  it("measures residuals against the targets", () => {
    for (let i = 0; i < ROWS; i++) {
      const gap = (made: readonly number[]): number =>
        Math.hypot(...made.map((value, c) => targets[i * D_OUT + c]! - value));
      const left = gap(decoded(weights, i, codeOf(i)));
      expect(measured.residualNorms![i]! / left).toBeCloseTo(1, 4);
      expect(measured.relativeErrors![i]! / (left / gap(decoded(weights, i, new Map())))).toBeCloseTo(1, 4);
    }
  });

  it("reconstructs the output, its input norm not undone, and decodes to the same", async () => {
    const codes = { ...measured, ...(skip && { inputs: rows }) };
    const made = await session.decode(codes);
    expect(measured.norm).toBeUndefined();
    for (let i = 0; i < ROWS; i++) {
      for (const [c, value] of decoded(weights, i, codeOf(i)).entries()) {
        expect(measured.reconstruction![i * D_OUT + c]).toBeCloseTo(value, 3);
        expect(made[i * D_OUT + c]).toBeCloseTo(value, 3);
      }
    }
  });

  it("has no residual figures without targets, and the same code", async () => {
    const plain = await session.encode(batch);
    expect(plain.residualNorms).toBeUndefined();
    expect(plain.relativeErrors).toBeUndefined();
    expect(plain.trace!.residualNorms).toBeUndefined();
    for (const column of ["indptr", "indices", "values", "stops"] as const) {
      expect(plain[column]).toEqual(measured[column]);
    }
    expect(plain.trace!.indices).toEqual(measured.trace!.indices);
  });

  it("ends a row by a tolerance against its target", async () => {
    const cut = await session.encode({ ...batchOf(rows, D_IN, { maxAtoms: M, minGain: 1e-3 }), targets });
    for (let i = 0; i < ROWS; i++) {
      const kept = cut.indptr[i + 1]! - cut.indptr[i]!;
      const from = measured.trace!.indptr[i]!;
      const start = Math.hypot(...decoded(weights, i, new Map()).map((value, c) => targets[i * D_OUT + c]! - value));
      const norms = [start, ...measured.trace!.residualNorms!.subarray(from, measured.trace!.indptr[i + 1])];
      for (let k = 0; k < kept; k++) expect(norms[k]! ** 2 - norms[k + 1]! ** 2).toBeGreaterThan(0.99e-3 * start ** 2);
    }
  });
});
