/** What every one-pass kind owes: its rule in float64, budgets that grow by contribution, and the same codes in any batch. */
import { afterAll, describe, expect, it } from "vitest";
import { atomNorms } from "../../src/engine/core/dictionary-weights.ts";
import type { Budget } from "../../src/engine/core/budget.ts";
import { type SparseCodes, STOP_REASONS } from "../../src/engine/core/sparse-codes.ts";
import type { OnePassSettings, OnePassWeights } from "../../src/engine/encoders/one-pass.ts";
import { referenceCode } from "../../src/engine/encoders/reference.ts";
import { onePassSpecOf, specOf } from "../../src/engine/encoders/registry.ts";
import { OnePassSession } from "../../src/engine/runtime/sessions/one-pass-session.ts";
import { createEncoderSession } from "../../src/engine/runtime/sessions/create-session.ts";
import { batchOf } from "../support/batch.ts";
import { normals, random } from "../support/seeded.ts";

const D = 24;
const M = 60;
const ROWS = 40;
/** Enough that the threads share them. */
const ROWS_FOR_HELP = 2000;

interface Case {
  readonly name: string;
  readonly kind: string;
  readonly settings?: object;
  readonly inputNorm?: OnePassSettings["inputNorm"];
  readonly center?: boolean;
  readonly subtractCenter?: boolean;
}

const CASES: readonly Case[] = [
  { name: "relu", kind: "relu" },
  { name: "relu, b not subtracted", kind: "relu", subtractCenter: false },
  { name: "relu without b", kind: "relu", center: false, subtractCenter: false },
  { name: "relu under layer_norm", kind: "relu", inputNorm: "layer_norm" },
  { name: "strict jumprelu", kind: "jumprelu", settings: { comparison: "strict" } },
  { name: "inclusive jumprelu", kind: "jumprelu", settings: { comparison: "inclusive" } },
  { name: "jumprelu that keeps negatives", kind: "jumprelu", settings: { comparison: "strict", rectify: false } },
  { name: "gated", kind: "gated" },
  { name: "topk", kind: "topk", settings: { k: 7 } },
  { name: "topk with more than the positives", kind: "topk", settings: { k: 50 } },
  { name: "topk that keeps negatives", kind: "topk", settings: { k: 50, rectify: false } },
  { name: "topk scaled by norms", kind: "topk", settings: { k: 7, scaleByDecoderNorm: true } },
  { name: "topk selected by norms", kind: "topk", settings: { k: 7, scaleByDecoderNorm: "select" } },
  { name: "abs_topk", kind: "abs_topk", settings: { k: 9 } },
  { name: "abs_topk scaled by norms", kind: "abs_topk", settings: { k: 9, scaleByDecoderNorm: true } },
  { name: "groupmax", kind: "groupmax", settings: { k: 12 } },
  {
    name: "groupmax under constant_norm_rescale",
    kind: "groupmax",
    settings: { k: 12 },
    inputNorm: "constant_norm_rescale",
  },
];

/** Atoms of norms from 0.2 to 3, one of them zero; thresholds below and above zero. */
function weightsOf({ kind, settings, inputNorm = "none", center = true, subtractCenter = true }: Case): OnePassWeights {
  const { next } = random(5);
  const atoms = normals(M * D, 1);
  for (let j = 0; j < M; j++) {
    const scale = j === 17 ? 0 : 0.2 + 2.8 * next();
    for (let at = j * D; at < (j + 1) * D; at++) atoms[at]! *= scale / Math.sqrt(D);
  }
  const all = { kind, settings: { center, subtractCenter, inputNorm, ...settings } };
  const shapes = specOf(all).tensors({ dIn: D, dOut: D, m: M }, all.settings);
  const tensors = Object.fromEntries(
    Object.entries(shapes).map(([name, shape], i) => [
      name,
      normals(
        shape.reduce((size, length) => size * length, 1),
        10 + i,
      ).map((value) => value * (name === "encoder_weight" ? 0.3 : 0.4)),
    ]),
  );
  return {
    ...all,
    role: "autoencoder",
    dIn: D,
    d: D,
    m: M,
    atoms,
    center: center ? normals(D, 3).map((value) => value / 5) : null,
    tensors,
  };
}

/** Random rows of several sizes, zeros, and rows in which every score ties. */
function rowsOf(): Float32Array {
  const rows = normals(ROWS * D, 7);
  for (let i = 0; i < ROWS; i++) for (let c = 0; c < D; c++) rows[i * D + c]! *= 10 ** ((i % 5) - 2);
  rows.fill(0, 0, D);
  rows.fill(1, D, 2 * D);
  return rows;
}

const codeOf = (codes: SparseCodes, i: number): Map<number, number> => {
  const code = new Map<number, number>();
  for (let k = codes.indptr[i]!; k < codes.indptr[i + 1]!; k++) code.set(codes.indices[k]!, codes.values[k]!);
  return code;
};

const traceOf = ({ trace }: SparseCodes, i: number) => {
  const [from, to] = [trace!.indptr[i]!, trace!.indptr[i + 1]!];
  return {
    indices: [...trace!.indices.subarray(from, to)],
    values: [...trace!.values.subarray(from, to)],
    residualNorms: [...trace!.residualNorms!.subarray(from, to)],
  };
};

describe.each(CASES)("$name", async (one) => {
  const weights = weightsOf(one);
  const { inputNorm, subtractCenter } = weights.settings;
  const session = await createEncoderSession(weights, { runtime: "cpu", path: "residual", threads: 1 });
  afterAll(() => session.release());
  const rows = rowsOf();
  const own = await session.encode(batchOf(rows, D, { maxAtoms: M }));
  const used =
    (weights.settings as { scaleByDecoderNorm?: unknown }).scaleByDecoderNorm === true ? unit(weights) : weights;

  /** Row i as the encoder gets it, and as the pursuit space has it. */
  function spaces(i: number): { readonly input: Float64Array; readonly target: Float64Array } {
    const shift = own.norm?.shift[i] ?? 0;
    const scale = own.norm?.scale[i] ?? 1;
    const divisor = inputNorm === "layer_norm" ? scale + 1e-5 : scale;
    const normed = Float64Array.from(rows.subarray(i * D, (i + 1) * D), (value) =>
      Math.fround((value - shift) / divisor),
    );
    const target = normed.map((value, c) => Math.fround(value - (weights.center?.[c] ?? 0)));
    return { input: subtractCenter ? target : normed, target };
  }

  it("has the active atoms and values of the rule in float64, wherever float32 decides", () => {
    let agreed = 0;
    for (let i = 0; i < ROWS; i++) {
      const { values, undecided, errors } = referenceCode(spaces(i).input, weights, onePassSpecOf(weights).reference);
      const code = codeOf(own, i);
      const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      let decided = true;
      for (let j = 0; j < M; j++) {
        if (undecided[j]) {
          decided = false;
          continue;
        }
        expect(Math.abs((code.get(j) ?? 0) - values[j]!)).toBeLessThanOrEqual(Math.max(1e-5 * largest, errors[j]!));
        expect(code.has(j)).toBe(values[j] !== 0);
      }
      if (decided) agreed++;
    }
    expect(agreed).toBeGreaterThan(ROWS / 2);
  });

  it("orders its trace by contribution, with the residual norm after each atom", () => {
    const norms = atomNorms(used);
    for (let i = 0; i < ROWS; i++) {
      const { indices, values, residualNorms } = traceOf(own, i);
      const contributions = indices.map((j, k) => Math.abs(values[k]!) * norms[j]!);
      expect(contributions).toEqual(contributions.toSorted((a, b) => b - a));
      expect(new Map(indices.map((j, k) => [j, values[k]!]))).toEqual(codeOf(own, i));
      const left = spaces(i).target;
      for (const [k, j] of indices.entries()) {
        for (let c = 0; c < D; c++) left[c]! -= values[k]! * used.atoms[j * D + c]!;
        expect(residualNorms[k]! / Math.hypot(...left)).toBeCloseTo(1, 5);
      }
      expect(own.residualNorms![i]).toBe(residualNorms.at(-1) ?? Math.fround(Math.hypot(...left)));
      expect(STOP_REASONS[own.stops[i]!]).toBe(indices.length === M ? "max_atoms" : "active_end");
    }
  });

  it.each<[string, Budget]>([
    ["max_atoms", { maxAtoms: 3 }],
    ["no atoms", { maxAtoms: 0 }],
    ["tolerance", { maxAtoms: M, tolerance: 0.8 }],
    ["residual_norm", { maxAtoms: M, residualNorm: 2 }],
    ["min_gain", { maxAtoms: M, minGain: 0.05 }],
    ["all of them", { maxAtoms: 5, tolerance: 0.7, residualNorm: 0.5, minGain: 0.01 }],
  ])("ends each row at the first prefix of its trace that meets %s", async (_name, budget) => {
    const cut = await session.encode(batchOf(rows, D, budget));
    for (let i = 0; i < ROWS; i++) {
      const whole = traceOf(own, i);
      const start = Math.hypot(...spaces(i).target);
      const [kept, stop] = prefixOf([start, ...whole.residualNorms], budget);
      const shown = traceOf(cut, i);
      expect(shown).toEqual({
        indices: whole.indices.slice(0, kept),
        values: whole.values.slice(0, kept),
        residualNorms: whole.residualNorms.slice(0, kept),
      });
      expect(STOP_REASONS[cut.stops[i]!]).toBe(stop);
      expect(codeOf(cut, i)).toEqual(new Map(shown.indices.map((j, k) => [j, shown.values[k]!])));
      expect(cut.relativeErrors![i]).toBeCloseTo(start === 0 ? 0 : (shown.residualNorms.at(-1) ?? start) / start, 4);
    }
  });

  it("codes a row the same alone, among others, and without a trace", async () => {
    for (const size of [1, 2, 3, 7]) {
      for (let from = 0; from + size <= 14; from += size) {
        const batch = batchOf(rows.slice(from * D, (from + size) * D), D, { maxAtoms: M });
        const part = await session.encode({ ...batch, trace: false });
        for (let i = 0; i < size; i++) expect(codeOf(part, i)).toEqual(codeOf(own, from + i));
      }
    }
  });

  it("uses the first atoms alone where a budget names a group", async () => {
    const group = 30;
    const nested = firstAtoms(weights, group);
    const smaller = await createEncoderSession(nested, { runtime: "cpu", path: "residual", threads: 1 });
    const theirs = await smaller.encode(batchOf(rows, D, { maxAtoms: M }));
    await smaller.release();
    const budgets = Array.from({ length: ROWS }, (_, i) => ({ maxAtoms: M, ...(i % 2 === 0 && { group }) }));
    const codes = await session.encode(batchOf(rows, D, budgets));
    for (let i = 0; i < ROWS; i++) {
      const [code, expected] = [codeOf(codes, i), codeOf(i % 2 === 0 ? theirs : own, i)];
      expect([...code.keys()]).toEqual([...expected.keys()]);
      for (const [j, value] of code) {
        expect(Math.abs(value - expected.get(j)!)).toBeLessThanOrEqual(1e-5 * Math.max(1, Math.abs(value)));
      }
      expect(STOP_REASONS[codes.stops[i]!]).toBe("active_end");
    }
  });

  it("reconstructs what decode makes of its codes", async () => {
    const { reconstruction, ...codes } = await session.encode({
      ...batchOf(rows, D, { maxAtoms: 4 }),
      reconstruction: true,
    });
    const decoded = await session.decode(codes);
    for (const [at, value] of reconstruction!.entries()) {
      expect(Math.abs(value - decoded[at]!)).toBeLessThanOrEqual(1e-5 * Math.max(1, Math.abs(value)));
    }
  });
});

/** The dictionary of the first atoms. groupmax keeps the size of its groups. */
function firstAtoms(weights: OnePassWeights, m: number): OnePassWeights {
  const { k } = weights.settings as { readonly k?: number };
  const settings = weights.kind === "groupmax" ? { ...weights.settings, k: (k! * m) / M } : weights.settings;
  const cut = (values: Float32Array): Float32Array => values.slice(0, (values.length / M) * m);
  const tensors = Object.fromEntries(Object.entries(weights.tensors).map(([name, values]) => [name, cut(values)]));
  return { ...weights, m, settings, atoms: cut(weights.atoms), tensors };
}

/** Atoms of unit norm; a zero atom stays zero. */
function unit(weights: OnePassWeights): OnePassWeights {
  const norms = atomNorms(weights);
  return { ...weights, atoms: weights.atoms.map((value, at) => value / (norms[Math.floor(at / D)]! || 1)) };
}

/** How many atoms a budget keeps, and why it ends there. @param norms of the residual after 0, 1, … atoms */
function prefixOf(
  norms: readonly number[],
  { maxAtoms = M, tolerance = 0, residualNorm = 0, minGain = 0 }: Budget,
): [number, string] {
  const start = norms[0]!;
  for (let k = 0; ; k++) {
    if (tolerance > 0 && norms[k]! <= tolerance * start) return [k, "tolerance"];
    if (residualNorm > 0 && norms[k]! <= residualNorm) return [k, "residual_norm"];
    if (k === maxAtoms) return [k, "max_atoms"];
    if (k + 1 === norms.length) return [k, "active_end"];
    if (minGain > 0 && norms[k]! ** 2 - norms[k + 1]! ** 2 < minGain * start ** 2) return [k, "min_gain"];
  }
}

describe("helping threads", () => {
  it.each(["jumprelu", "topk"])("make the codes of %s that one thread makes", async (kind) => {
    const given = weightsOf(CASES.find((one) => one.kind === kind)!);
    const rows = normals(ROWS_FOR_HELP * D, 4);
    const alone = await OnePassSession.create(given, { runtime: "cpu", threads: 3, helpFrom: Infinity });
    const helped = await OnePassSession.create(given, { runtime: "cpu", threads: 3, helpFrom: 0 });
    // A row without a limit, with one of each kind, and a trace of them all.
    const budgets: Budget[] = [{}, { maxAtoms: 3 }, { tolerance: 0.5 }, { minGain: 0.01 }];
    const mixed = Array.from({ length: ROWS_FOR_HELP }, (_, i) => budgets[i % budgets.length]!);
    for (const wanted of [false, true]) {
      const batch = { ...batchOf(rows, D, mixed), trace: wanted, reconstruction: wanted };
      expect(await helped.encode(batch)).toEqual(await alone.encode(batch));
    }
    await Promise.all([alone.release(), helped.release()]);
  });
});
