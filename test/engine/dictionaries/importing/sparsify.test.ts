/** sparsify's folders: its activations and transcoders are kinds and roles of Pursuit, with sparsify's own codes. */
import { describe, expect, it } from "vitest";
import { understand } from "../../../../src/engine/dictionaries/importing/understand.ts";
import { createEncoderSession } from "../../../../src/engine/runtime/sessions/create-session.ts";
import { batchOf } from "../../../support/batch.ts";
import { ImportFolders, type Shapes, tensorsOf } from "../../../support/import-folder.ts";
import { normals } from "../../../support/seeded.ts";

const D = 4;
const M = 12;
const folders = new ImportFolders();
const SHAPES: Shapes = { "encoder.weight": [M, D], "encoder.bias": [M], W_dec: [M, D], b_dec: [D] };
const values = Object.fromEntries(
  Object.entries({ ...SHAPES, W_skip: [D, D] }).map(([name, shape], i) => [
    name,
    [
      ...normals(
        shape.reduce((a, b) => a * b, 1),
        i + 1,
      ),
    ],
  ]),
) as Record<string, number[]>;
const folder = (config: object, shapes: Shapes = SHAPES): string =>
  folders.of({
    "cfg.json": JSON.stringify({ d_in: D, num_latents: M, k: 3, ...config }),
    "sae.safetensors": tensorsOf(shapes, values),
  });

/** SparseCoder.encode of one row (sparsify/sparse_coder.py, fused_encoder.py), as a dense code. */
function encode(x: readonly number[], activation: string, transcode: boolean, k: number): number[] {
  const { "encoder.weight": weight, "encoder.bias": bias, b_dec: b } = values;
  const input = x.map((value, c) => value - (transcode ? 0 : b![c]!));
  const pre = Array.from({ length: M }, (_, j) =>
    Math.max(
      0,
      input.reduce((sum, value, c) => sum + value * weight![j * D + c]!, bias![j]!),
    ),
  );
  const size = M / k;
  const group = (j: number): number[] => pre.slice(Math.floor(j / size) * size, (Math.floor(j / size) + 1) * size);
  const limit = pre.toSorted((p, q) => q - p)[k - 1]!;
  return pre.map((value, j) =>
    (activation === "topk" ? value >= limit : value === Math.max(...group(j))) ? value : 0,
  );
}

describe("a sparsify folder", () => {
  it.each([
    ["topk", false],
    ["groupmax", false],
    ["topk", true],
    ["groupmax", true],
  ] as const)("of activation %s, transcode %s has sparsify's codes", async (activation, transcode) => {
    const { weights, source } = await understand(folder({ activation, transcode }), {});
    expect(weights).toMatchObject({ kind: activation, role: transcode ? "transcoder" : "autoencoder", m: M });
    expect(source).toBe(`sparsify ${activation}${transcode ? " transcoder" : ""}`);
    const rows = normals(D * 6, 99);
    const session = await createEncoderSession(weights, { runtime: "cpu", path: "residual", threads: 1 });
    const { indptr, indices, values: found } = await session.encode({ ...batchOf(rows, D, {}), trace: false });
    await session.release();
    for (let i = 0; i < 6; i++) {
      const dense = Array<number>(M).fill(0);
      for (let at = indptr[i]!; at < indptr[i + 1]!; at++) dense[indices[at]!] = found[at]!;
      const wanted = encode([...rows.subarray(i * D, (i + 1) * D)], activation, transcode, 3);
      for (const [j, value] of dense.entries()) expect(value).toBeCloseTo(wanted[j]!, 4);
    }
  });

  it("of a transcoder with a skip keeps it as it is stored", async () => {
    const config = { transcode: true, skip_connection: true };
    const { weights } = await understand(folder(config, { ...SHAPES, W_skip: [D, D] }), {});
    expect([...weights.tensors!["skip"]!]).toEqual([...Float32Array.from(values["W_skip"]!)]);
    expect(weights.settings).toMatchObject({ skip: true, subtractCenter: false });
  });

  it.each([
    [{ activation: "relu" }, /activation "relu" is not one that Pursuit runs: topk, groupmax\. .*atoms\.npy/],
    [{ activation: "batchtopk" }, /top k of a whole batch, and the file holds no threshold.*atoms\.npy/],
    [{ coalesce_topk: "concat" }, /coalesce_topk "concat" selects among the latents of several layers/],
    [{ n_targets: 3, transcode: true }, /n_targets is 3: this layer writes to 3 layers/],
    [{ post_encoder_scale: true }, /post_encoder_scale is true: it scales active latents/],
    [{ activation: "groupmax", k: 5 }, /k is 5; groupmax needs a k that divides the 12 latents/],
    [{ skip_connection: true }, /skip_connection is true and transcode is not/],
    [{ signed: true }, /signed is true.*--from atoms/],
    [{ post_encoder: true }, /post_encoder \(true\): sparsify's topk has no such setting/],
  ])("with %j is refused with a way that works", async (config, said) => {
    await expect(understand(folder(config), {})).rejects.toThrow(said);
  });

  it("with a skip that its config lacks is refused", async () => {
    await expect(understand(folder({}, { ...SHAPES, W_skip: [D, D] }), {})).rejects.toThrow(
      /holds W_skip, which sparsify's topk does not save/,
    );
  });
});
