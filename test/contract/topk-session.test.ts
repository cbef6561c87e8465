/** What a TopK session owes: SAELens' and sparsify's own codes and reconstructions, whatever the budget and the companions. */
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { NPY_TENSOR, openNpy } from "../../src/engine/dictionaries/formats/npy.ts";
import { understand } from "../../src/engine/dictionaries/importing/understand.ts";
import type { EncoderSession } from "../../src/engine/runtime/process/encoder-session.ts";
import { createEncoderSession } from "../../src/engine/runtime/sessions/create-session.ts";
import { type SparseCodes, STOP_REASONS } from "../../src/engine/core/sparse-codes.ts";
import { batchOf } from "../support/batch.ts";

const fixtures = fileURLToPath(new URL("../fixtures/imports/", import.meta.url));

async function matrix(name: string, file: string): Promise<Float32Array> {
  const opened = await openNpy(`${fixtures}${name}/${file}.npy`);
  try {
    return await opened.readFloats(NPY_TENSOR);
  } finally {
    await opened.close();
  }
}

function dense(codes: SparseCodes): Float32Array {
  const z = new Float32Array(codes.count * codes.width);
  for (let i = 0; i < codes.count; i++) {
    for (let k = codes.indptr[i]!; k < codes.indptr[i + 1]!; k++)
      z[i * codes.width + codes.indices[k]!] = codes.values[k]!;
  }
  return z;
}

function expectClose(ours: Float32Array, theirs: Float32Array): void {
  const largest = theirs.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  expect(ours.length).toBe(theirs.length);
  for (const [i, value] of ours.entries()) expect(Math.abs(value - theirs[i]!)).toBeLessThanOrEqual(1e-5 * largest);
}

describe.each(["sae-lens-topk", "sae-lens-topk-rescaled", "sparsify-topk"])("a TopK session over %s", async (name) => {
  const { weights } = await understand(`${fixtures}${name}`, {});
  const { d, m } = weights;
  const [x, z, y] = await Promise.all(["x", "z", "y"].map((file) => matrix(name, file)));
  const count = x!.length / d;
  const open: EncoderSession[] = [];
  const session = await createEncoderSession(weights, { runtime: "cpu", path: "residual", threads: 1 });
  open.push(session);
  afterAll(() => Promise.all(open.map((one) => one.release())));

  it("gives the library's own codes and reconstructions", async () => {
    const codes = await session.encode({ ...batchOf(x!, d, { maxAtoms: 5 }), reconstruction: true });
    expectClose(dense(codes), z!);
    expectClose(codes.reconstruction!, y!);
    expectClose(await session.decode({ ...codes }), y!);
  });

  it("keeps the largest of any budget: a trace's first k are the code of budget k", async () => {
    const whole = await session.encode(batchOf(x!, d, { maxAtoms: m }));
    for (let k = 0; k <= 6; k++) {
      const cut = await session.encode(batchOf(x!, d, { maxAtoms: k }));
      for (let i = 0; i < count; i++) {
        const [from, to] = [whole.trace!.indptr[i]!, whole.trace!.indptr[i + 1]!];
        const kept = Math.min(k, to - from);
        const own = (column: "indices" | "values" | "residualNorms"): number[] => [
          ...cut.trace![column]!.subarray(cut.trace!.indptr[i], cut.trace!.indptr[i + 1]),
        ];
        for (const column of ["indices", "values", "residualNorms"] as const) {
          expect(own(column)).toEqual([...whole.trace![column]!.subarray(from, from + kept)]);
        }
        expect(STOP_REASONS[cut.stops[i]!]).toBe(kept === k ? "max_atoms" : "active_end");
      }
    }
  });

  it("codes a row the same in every batch, alone or among others", async () => {
    const whole = dense(await session.encode(batchOf(x!, d, { maxAtoms: 5 })));
    for (const size of [1, 2, 3, 7]) {
      for (let from = 0; from + size <= count; from += size) {
        const part = await session.encode(batchOf(x!.slice(from * d, (from + size) * d), d, { maxAtoms: 5 }));
        expect(dense(part)).toEqual(whole.subarray(from * m, (from + size) * m));
      }
    }
  });

  it("measures what is left from the row and its code", async () => {
    const codes = await session.encode(batchOf(x!, d, { maxAtoms: 5 }));
    for (let i = 0; i < count; i++) {
      const left = Math.hypot(...y!.subarray(i * d, (i + 1) * d).map((value, c) => value - x![i * d + c]!));
      expect(codes.residualNorms![i]).toBeCloseTo(left, 5);
      expect(codes.trace!.residualNorms![codes.trace!.indptr[i + 1]! - 1]).toBeCloseTo(left, 5);
    }
  });
});
