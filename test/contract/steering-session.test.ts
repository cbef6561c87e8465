/** Steering over real sessions of both kinds, with and without an input norm, as docs/steering.md describes it. */
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { readExamples } from "../../src/engine/dictionaries/examples.ts";
import { readManifest } from "../../src/engine/dictionaries/manifest.ts";
import { loadWeights } from "../../src/engine/dictionaries/weights.ts";
import { NPY_TENSOR, openNpy } from "../../src/engine/dictionaries/formats/npy.ts";
import { understand } from "../../src/engine/dictionaries/importing/understand.ts";
import { steer, type SteeredBy } from "../../src/engine/serving/steering/steer.ts";
import type { DictionaryWeights } from "../../src/engine/core/dictionary-weights.ts";
import type { Edit } from "../../src/engine/core/edits.ts";
import type { EncodeRequest } from "../../src/engine/engine.ts";
import { createEncoderSession } from "../../src/engine/runtime/sessions/create-session.ts";
import type { SparseCodes } from "../../src/engine/core/sparse-codes.ts";
import type { SteerAnswer, SteerRequest } from "../../src/engine/core/steering.ts";
import { batchOf } from "../support/batch.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const BUDGET = { maxAtoms: 8 };

const oneHot = (d: number): number[] => Array.from({ length: d }, (_, c) => (c === 0 ? 1 : 0));

async function shipped(id: string): Promise<{ weights: DictionaryWeights; x: Float32Array }> {
  const folder = `${root}models/${id}`;
  const manifest = await readManifest(folder);
  const { weights } = await loadWeights(folder, manifest);
  return { weights, x: (await readExamples(folder, weights.d))!.rows.slice(0, 12 * weights.d) };
}

async function fixture(name: string): Promise<{ weights: DictionaryWeights; x: Float32Array }> {
  const folder = `${root}test/fixtures/imports/${name}`;
  const { weights } = await understand(folder, {});
  const file = await openNpy(`${folder}/x.npy`);
  const x = await file.readFloats(NPY_TENSOR);
  await file.close();
  return { weights, x };
}

describe.each([
  ["minilm-wordnet-mp", shipped],
  ["minilm-wordnet-topk", shipped],
  ["sae-lens-layer-norm", fixture],
  ["sae-lens-topk", fixture],
] as const)("steering with %s", async (name, from) => {
  const { weights, x } = await from(name);
  const { d, m } = weights;
  const count = x.length / d;
  const session = await createEncoderSession(weights, { runtime: "cpu", path: "residual", threads: 1 });
  afterAll(() => session.release());
  const rows = { data: x, count, width: d };
  let encodes = 0;
  const by: SteeredBy = {
    d,
    m,
    sha256: "ab".repeat(32),
    setEdits: [],
    encode: async (request: EncodeRequest) => {
      encodes++;
      const codes = await session.encode(batchOf(request.rows.data, d, request.budget));
      return { codes, totalVariance: null, sha256: "cd".repeat(32) };
    },
    steer: (batch) => Promise.resolve(session.steer(batch)),
    now: () => 0,
    onSteered: () => {},
  };
  const steered = (edits: readonly Edit[], more: Partial<SteerRequest> = {}): Promise<SteerAnswer> =>
    steer({ rows, budget: BUDGET, edits, effect: false, ...more }, by);
  const codes = await session.encode(batchOf(x, d, BUDGET));
  /** A feature that the first row has, and one that no row has. */
  const present = codes.indices[0]!;
  const absent = [...Array(m).keys()].find((j) => !codes.indices.includes(j))!;
  const at = ({ indptr, indices, values }: SparseCodes, i: number, j: number): number => {
    const k = indices.subarray(indptr[i], indptr[i + 1]).indexOf(j);
    return k < 0 ? 0 : values[indptr[i]! + k]!;
  };
  const largest = x.reduce((most, value) => Math.max(most, Math.abs(value)), 0);

  it("gives rows back bit for bit where there are no edits, and encodes nothing", async () => {
    encodes = 0;
    const { rows: same, norms } = await steered([]);
    expect(new Uint8Array(same.data.buffer)).toEqual(new Uint8Array(x.slice().buffer));
    expect([encodes, Math.max(...norms)]).toEqual([0, 0]);
  });

  it("encodes once for edits of codes, and not at all for directions", async () => {
    encodes = 0;
    await steered([{ feature: present, op: "project_out" }]);
    expect(encodes).toBe(0);
    await steered([
      { feature: present, op: "remove" },
      { feature: absent, op: "add", value: 1 },
    ]);
    expect(encodes).toBe(1);
  });

  it("adds decode(z') − decode(z)", async () => {
    const edits: Edit[] = [
      { feature: present, op: "scale", value: 0.5 },
      { feature: absent, op: "set", value: 0.75 },
    ];
    const { rows: found } = await steered(edits);
    const decoded = await session.decode({ ...codes });
    const changed = Array.from({ length: count }, (_, i) => {
      const entries = new Map<number, number>();
      for (let k = codes.indptr[i]!; k < codes.indptr[i + 1]!; k++) entries.set(codes.indices[k]!, codes.values[k]!);
      if (entries.has(present)) entries.set(present, entries.get(present)! * 0.5);
      return [...entries.set(absent, 0.75)];
    });
    const edited = await session.decode({
      count,
      indptr: Uint32Array.from({ length: count + 1 }, (_, i) => changed.slice(0, i).flat().length),
      indices: Uint32Array.from(changed.flat(), ([j]) => j),
      values: Float32Array.from(changed.flat(), ([, value]) => value),
      ...(codes.norm && { norm: codes.norm }),
    });
    for (let k = 0; k < x.length; k++) {
      expect(Math.abs(found.data[k]! - (x[k]! + edited[k]! - decoded[k]!))).toBeLessThan(2e-6 * largest);
    }
  });

  it("restores within 1e-5 when what was added to absent and present features is taken away", async () => {
    for (const feature of [absent, present]) {
      const { rows: there } = await steered([{ feature, op: "add_direction", strength: 0.3 }]);
      const { rows: back } = await steered([{ feature, op: "add_direction", strength: -0.3 }], { rows: there });
      const { rows: once } = await steered([{ feature, op: "add", value: 0.3 }]);
      const { rows: twice } = await steered([{ feature, op: "add", value: -0.3 }], { rows: once });
      // Under an input norm the way back is along another scale, that of the row that was moved.
      const ends = codes.norm ? [back] : [back, twice];
      for (const end of ends) {
        for (let k = 0; k < x.length; k++) expect(Math.abs(end.data[k]! - x[k]!)).toBeLessThan(1e-5);
      }
      const both = await steered([
        { feature, op: "add", value: 0.3 },
        { feature, op: "add", value: -0.3 },
      ]);
      for (let k = 0; k < x.length; k++) expect(Math.abs(both.rows.data[k]! - x[k]!)).toBeLessThan(1e-5);
    }
  });

  it("changes the rows that are named and no others", async () => {
    const { rows: found, norms } = await steered([{ feature: absent, op: "set", value: 1 }], { only: [1, 3] });
    for (let i = 0; i < count; i++) {
      const same = found.data.subarray(i * d, (i + 1) * d).every((value, c) => Object.is(value, x[i * d + c]));
      expect([same, norms[i] === 0]).toEqual(i === 1 || i === 3 ? [false, false] : [true, true]);
    }
  });

  it("tells what the edits did and what the steered rows' own codes say", async () => {
    const edits: Edit[] = [
      { feature: present, op: "project_cap", max: 0 },
      { feature: present, op: "remove" },
      { feature: absent, op: "add", value: 1, rows: [0] },
    ];
    const { rows: found, effect } = await steered(edits, { effect: true });
    const { before, after, features, moved } = effect!;
    expect([...features]).toEqual([present, present, absent]);
    const again = await session.encode(batchOf(found.data, d, BUDGET));
    for (let i = 0; i < count; i++) {
      expect(before[i * 3 + 1]).toBe(at(codes, i, present));
      expect(after[i * 3 + 1]).toBe(0);
      expect([before[i * 3 + 2], after[i * 3 + 2]]).toEqual(
        i === 0 ? [at(codes, i, absent), at(codes, i, absent) + 1] : [NaN, NaN],
      );
      expect(after[i * 3]).toBeLessThanOrEqual(1e-12);
      for (let k = moved.indptr[i]!; k < moved.indptr[i + 1]!; k++) {
        expect(moved.before[k]).toBe(at(codes, i, moved.indices[k]!));
        expect(moved.after[k]).toBe(at(again, i, moved.indices[k]!));
      }
    }
    expect(moved.indptr[1]).toBeGreaterThan(0);
  });

  it("steers many rows by many vectors in several calls as it does in one", async () => {
    const many = { data: new Float32Array(200 * d), count: 200, width: d };
    for (let i = 0; i < 200; i++) many.data.set(x.subarray((i % count) * d, ((i % count) + 1) * d), i * d);
    const edits: Edit[] = Array.from({ length: 250 }, (_, k) => ({
      feature: k % m,
      op: "add_direction",
      strength: 0.01,
      relative: true,
    }));
    let calls = 0;
    const counted = { ...by, steer: (batch: Parameters<SteeredBy["steer"]>[0]) => (calls++, by.steer(batch)) };
    const { rows: found } = await steer({ rows: many, budget: {}, edits, effect: false }, counted);
    const { rows: few } = await steered(edits);
    if (d > 128) expect(calls).toBeGreaterThan(1);
    for (let i = 0; i < 200; i++) {
      const one = few.data.subarray((i % count) * d, ((i % count) + 1) * d);
      expect(found.data.subarray(i * d, (i + 1) * d)).toEqual(one);
    }
  });

  it.each<[string, Edit[], Partial<SteerRequest>, RegExp]>([
    [
      "a feature that is not there",
      [
        { feature: 0, op: "remove" },
        { feature: m, op: "remove" },
      ],
      {},
      /^edits\[1\]\.feature is/,
    ],
    ["a vector of another length", [{ vector: [1, 2], op: "project_out" }], {}, /^edits\[0\]\.vector holds 2 numbers/],
    [
      "an edit's row that is not there",
      [{ feature: 0, op: "remove", rows: [count] }],
      {},
      /^edits\[0\]\.rows names row/,
    ],
    ["a row of the request that is not there", [], { only: [0, count] }, /^rows names row/],
    [
      "a row beyond float32",
      [3e38, 3e38].map((strength) => ({ vector: oneHot(d), op: "add_direction", strength })),
      {},
      /^edits take row 0, column 0 beyond/,
    ],
  ])("refuses %s", async (_, edits, more, message) => {
    await expect(steered(edits, more)).rejects.toMatchObject({
      code: "PURSUIT_INVALID_EDIT",
      message: expect.stringMatching(message),
    });
  });

  it("counts the set's edits among those that are allowed, and makes them first", async () => {
    const setEdits: Edit[] = Array.from({ length: 255 }, () => ({ feature: absent, op: "set", value: 2 }));
    const request = { rows, budget: BUDGET, effect: true };
    const edit: Edit = { feature: absent, op: "scale", value: 2 };
    const { effect } = await steer({ ...request, edits: [edit] }, { ...by, setEdits });
    expect([effect!.fromSet, effect!.before[255], effect!.after[255]]).toEqual([255, 2, 4]);
    await expect(steer({ ...request, edits: [edit, edit] }, { ...by, setEdits })).rejects.toThrow(
      /^edits\[1\] is one too many: with the set's 255 there are 257/,
    );
  });
});
