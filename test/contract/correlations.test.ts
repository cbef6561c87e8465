/** The largest correlations of rows with atoms, as every kind of session answers them, against float64. */
import { afterAll, describe, expect, it } from "vitest";
import { type InputNorm, INPUT_NORMS, PURSUIT_PATHS } from "../../src/engine/core/dictionary.ts";
import { atomNorms, type DictionaryWeights } from "../../src/engine/core/dictionary-weights.ts";
import { createEncoderSession } from "../../src/engine/runtime/sessions/create-session.ts";
import type { EncoderSession } from "../../src/engine/runtime/process/encoder-session.ts";
import { oracleCorrelations, pursuitSpace } from "../support/oracle.ts";
import { normals, randomAtoms } from "../support/seeded.ts";

const [D, M, ROWS] = [24, 70, 12];
const center = normals(D, 3).map((value) => value / 4);

/** Atoms of several norms, one of them zero, one there twice. */
function atoms(): Float32Array {
  const made = randomAtoms(M, D, 1);
  for (let j = 0; j < M; j++) for (let c = 0; c < D; c++) made[j * D + c]! *= 0.25 + (j % 7);
  made.fill(0, 5 * D, 6 * D);
  made.copyWithin(40 * D, 11 * D, 12 * D);
  return made;
}

const pursuit = (kind: string, inputNorm: InputNorm): DictionaryWeights => ({
  kind,
  d: D,
  m: M,
  atoms: atoms(),
  center,
  settings: {
    score: "relu",
    ...(kind === "matching_pursuit" && { reselect: "add", residualThreshold: 0 }),
    ...(kind === "orthogonal_matching_pursuit" && { rawScores: false }),
    center: true,
    maxAtoms: null,
    inputNorm,
  } as DictionaryWeights["settings"],
});

const onePass = (inputNorm: InputNorm, scaled: boolean): DictionaryWeights => ({
  kind: "topk",
  role: "autoencoder",
  d: D,
  dIn: D,
  m: M,
  atoms: atoms(),
  center,
  settings: {
    center: true,
    subtractCenter: false,
    inputNorm,
    k: 4,
    ...(scaled && { scaleByDecoderNorm: true }),
  } as DictionaryWeights["settings"],
  tensors: { encoder_weight: normals(M * D, 8), encoder_bias: normals(M, 9) },
});

/** Rows of several sizes, and one of zeros. */
const rows = normals(ROWS * D, 2).map((value, at) => value * 10 ** ((Math.floor(at / D) % 5) - 2));
rows.fill(0, 0, D);

/** A dictionary whose decode uses other atoms than the stored ones has these for its correlations. */
function decoded(weights: DictionaryWeights): DictionaryWeights {
  if (!(weights.settings as { scaleByDecoderNorm?: boolean }).scaleByDecoderNorm) return weights;
  const norms = atomNorms(weights);
  return { ...weights, atoms: weights.atoms.map((value, at) => value / (norms[Math.floor(at / D)]! || 1)) };
}

const open: EncoderSession[] = [];
afterAll(() => Promise.all(open.map((one) => one.release())));

async function check(given: DictionaryWeights, path: (typeof PURSUIT_PATHS)[number]): Promise<void> {
  const session = await createEncoderSession(given, { runtime: "cpu", path, threads: 1 });
  open.push(session);
  const weights = decoded(given);
  const norms = atomNorms(weights);
  for (const most of [1, 9, M]) {
    const { indices, values } = await session.correlations({ rows, count: ROWS, most });
    expect([indices.length, values.length]).toEqual([ROWS * most, ROWS * most]);
    for (let i = 0; i < ROWS; i++) {
      const row = pursuitSpace(rows.slice(i * D, (i + 1) * D), weights.settings.inputNorm);
      if (row.some(Number.isNaN)) row.fill(0);
      const oracle = oracleCorrelations(row, weights);
      const length = Math.hypot(...row.map((value, c) => value - center[c]!));
      const found = indices.subarray(i * most, (i + 1) * most);
      for (const [k, j] of found.entries()) {
        if (k > 0) expect(j).toBeGreaterThan(found[k - 1]!);
        expect(Math.abs(values[i * most + k]! - oracle[j]!)).toBeLessThanOrEqual(1e-5 * length * norms[j]! + 1e-30);
      }
      // Whatever is left out is no larger than what is in.
      const least = Math.min(...Array.from(found, (j) => oracle[j]!));
      const left = [...oracle.keys()].filter((j) => !found.includes(j));
      for (const j of left) expect(oracle[j]! - least).toBeLessThanOrEqual(2e-5 * length * Math.max(...norms));
    }
    // The same row alone, and among others.
    const alone = await session.correlations({ rows: rows.slice(3 * D, 4 * D), count: 1, most });
    expect([...alone.values]).toEqual([...values.subarray(3 * most, 4 * most)]);
  }
}

describe("the largest correlations", () => {
  it.each(PURSUIT_PATHS)("of matching pursuit on the %s path", (path) =>
    check(pursuit("matching_pursuit", "none"), path),
  );
  it.each(INPUT_NORMS)("under the input norm %s", (norm) => check(pursuit("matching_pursuit", norm), "fused"));
  it("of orthogonal pursuit", () => check(pursuit("orthogonal_matching_pursuit", "none"), "fused"));
  it("of a one-pass encoder, over its decoder's rows", () => check(onePass("none", false), "residual"));
  it("of one whose decode uses unit rows", () => check(onePass("layer_norm", true), "residual"));

  it("take the lower index of two equal atoms", async () => {
    const weights = pursuit("matching_pursuit", "none");
    const session = await createEncoderSession(weights, { runtime: "cpu", path: "fused", threads: 1 });
    open.push(session);
    const row = Float32Array.from({ length: D }, (_, c) => weights.atoms[11 * D + c]! + center[c]!);
    const { indices } = await session.correlations({ rows: row, count: 1, most: M });
    expect([...indices].slice(0, 3)).toEqual([0, 1, 2]);
    const scores = oracleCorrelations(row, weights);
    const above = scores.filter((score) => score > scores[11]!).length;
    const cut = await session.correlations({ rows: row, count: 1, most: above + 1 });
    expect([...cut.indices]).toContain(11);
    expect([...cut.indices]).not.toContain(40);
  });
});
