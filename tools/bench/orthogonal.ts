/**
 * Orthogonal pursuit at 768 × 4096, 32 atoms, by batch and threads, in microseconds a row (the best of five).
 *
 *     npx tsx tools/bench/orthogonal.ts
 *
 * tools/bench/orthogonal.py measures SPAMS, scikit-learn and batched-omp at the same shape.
 */
import { FusedSession } from "../../src/engine/executor/session/fused-session.ts";
import { batchOf } from "../../test/support/batch.ts";
import { normals, randomAtoms } from "../../test/support/seeded.ts";

const [D, M, ATOMS, RUNS] = [768, 4096, 32, 5];
const weights = {
  kind: "orthogonal_matching_pursuit",
  d: D,
  m: M,
  atoms: randomAtoms(M, D, 1),
  center: null,
  settings: {
    score: "absolute",
    rawScores: false,
    center: false,
    residualThreshold: 0,
    maxAtoms: null,
    inputNorm: "none",
  },
} as const;

console.log("threads  batch  µs a row");
for (const threads of [1, 2]) {
  const session = await FusedSession.create(weights, { runtime: "cpu", threads, gram: true });
  for (const count of [1, 64, 512, 2048]) {
    const batch = { ...batchOf(normals(D * count, 2), D, { maxAtoms: ATOMS }), trace: false };
    let best = Infinity;
    for (let run = 0; run < RUNS; run++) {
      const started = performance.now();
      await session.encode(batch);
      best = Math.min(best, performance.now() - started);
    }
    console.log(`${threads}`.padStart(7), `${count}`.padStart(6), ((best / count) * 1e3).toFixed(1).padStart(9));
  }
  await session.release();
}
