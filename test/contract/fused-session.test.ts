/** What the fused path owes beside what every path does: the same codes however memory, threads and time are divided. */
import { describe, expect, it } from "vitest";
import type { PursuitWeights } from "../../src/engine/core/dictionary-weights.ts";
import type { SparseCodes } from "../../src/engine/core/sparse-codes.ts";
import type { EncodeBatch } from "../../src/engine/core/encode-batch.ts";
import { FusedSession, type FusedSessionOptions } from "../../src/engine/runtime/sessions/fused-session.ts";
import { sample } from "../support/full.ts";
import { batchOf } from "../support/batch.ts";
import { normals, randomAtoms } from "../support/seeded.ts";

const D = 40;
const M = 700;

function weights(settings: Partial<PursuitWeights["settings"]> = {}): PursuitWeights {
  return {
    kind: "matching_pursuit",
    d: D,
    m: M,
    atoms: randomAtoms(M, D, 1),
    center: normals(D, 2),
    settings: {
      score: "relu",
      reselect: "add",
      center: true,
      residualThreshold: 0,
      maxAtoms: null,
      inputNorm: "none",
      ...settings,
    },
  };
}

async function encode(
  given: PursuitWeights,
  options: Partial<FusedSessionOptions>,
  batch: EncodeBatch,
): Promise<SparseCodes> {
  const session = await FusedSession.create(given, { runtime: "cpu", threads: 1, gram: true, ...options });
  try {
    return await session.encode(batch);
  } finally {
    await session.release();
  }
}

const ROWS = normals(D * 150, 3);

const SETTINGS = [
  ["relu", "add"],
  ["absolute", "forbid"],
  ["signed", "stop"],
] as const;

describe.each(sample(SETTINGS, 2))("score %s, reselect %s", (score, reselect) => {
  const given = weights({ score, reselect });
  const batch = { ...batchOf(ROWS, D, { maxAtoms: 30 }), reconstruction: true };

  it("gives the same codes from one memory and from several", async () => {
    const whole = await encode(given, {}, batch);
    // 1.96 MB of Gram matrix do not fit in one such memory.
    const sharded = await encode(given, { memoryLimit: 1_000_000 }, batch);
    expect(sharded).toEqual(whole);
  });

  it.each([false, true])(
    "gives the same codes with and without prefetching of Gram rows, orthogonal %s",
    async (orthogonal) => {
      const asked = { ...batch, ...(orthogonal && { pursuit: { kind: "orthogonal", score: "absolute" } as const }) };
      const plain = await encode(given, { prefetch: false }, asked);
      for (const memoryLimit of [undefined, 1_000_000]) {
        const options = { prefetch: true, ...(memoryLimit !== undefined && { memoryLimit }) };
        expect(await encode(given, options, asked)).toEqual(plain);
      }
    },
  );

  it("gives rows of a batch of several jobs the codes that they have alone", async () => {
    const rows = normals(D * 700, 6);
    const { indptr, indices, values, reconstruction } = await encode(
      given,
      { threads: 2 },
      { ...batchOf(rows, D, { maxAtoms: 30 }), reconstruction: true },
    );
    for (const from of [0, 200, 400, 600]) {
      const part = { ...batchOf(rows.slice(from * D, (from + 100) * D), D, { maxAtoms: 30 }), reconstruction: true };
      const alone = await encode(given, {}, part);
      expect(indices.slice(indptr[from], indptr[from + 100])).toEqual(alone.indices);
      expect(values.slice(indptr[from], indptr[from + 100])).toEqual(alone.values);
      expect(reconstruction!.slice(from * D, (from + 100) * D)).toEqual(alone.reconstruction);
    }
  });

  it("gives the same codes from one thread and from three", async () => {
    const alone = await encode(given, {}, batch);
    expect(await encode(given, { threads: 3 }, batch)).toEqual(alone);
  });
});

it("serves while the Gram matrix is made, says which path it is on, and gives codes that agree", async () => {
  const big = { ...weights(), ...bigAtoms() };
  const rows = normals(big.d * 8, 5);
  const session = await FusedSession.create(
    { ...big, center: null, settings: { ...big.settings, center: false } },
    { runtime: "cpu", threads: 2, gram: true },
  );
  try {
    expect(session.chosen.path).toBe("fused_residual");
    expect(session.coherence.maxCosine).toBeNull();
    const batch = batchOf(rows, big.d, { maxAtoms: 12 });
    const before = await session.encode(batch);
    let pieces = 0;
    for (;;) {
      const { more } = await session.buildGramStep();
      pieces++;
      if (pieces === 2) expect((await session.encode(batch)).indices).toEqual(before.indices);
      if (!more) break;
    }
    expect(pieces).toBeGreaterThan(4);
    expect(session.chosen.path).toBe("fused");
    expect(session.coherence.maxCosine).toBeGreaterThan(0);
    const after = await session.encode(batch);
    expect(after.indices).toEqual(before.indices);
    for (const [k, value] of after.values.entries()) expect(value).toBeCloseTo(before.values[k]!, 4);
  } finally {
    await session.release();
  }
});

/** Just too many operations for the matrix to be made at once. */
function bigAtoms(): { d: number; m: number; atoms: Float32Array } {
  const d = 1536;
  const m = 8192;
  return { d, m, atoms: randomAtoms(m, d, 4) };
}
