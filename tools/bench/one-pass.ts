/**
 * One-pass encoders against the bare matrix product that they start with, in one process and in turns:
 *
 *     npm run build && npx tsx tools/bench/one-pass.ts
 *
 * A batch of 128 rows, every thread of the machine. The codes are compared with the rule in float64 first.
 */
import { availableParallelism } from "node:os";
import type { AbsTopkSettings } from "../../src/engine/encoders/abs-topk/spec.ts";
import { onePassRule } from "../../src/engine/encoders/activations.ts";
import type { JumpReluSettings } from "../../src/engine/encoders/jumprelu/spec.ts";
import type { OnePassSettings, OnePassWeights } from "../../src/engine/encoders/one-pass.ts";
import { referenceCode } from "../../src/engine/encoders/reference.ts";
import type { TopkSettings } from "../../src/engine/encoders/topk/spec.ts";
import { normals } from "../../test/support/seeded.ts";
import { createEncoderSession, DensePass, passOnce } from "./built.ts";
import { inTurn, median } from "./in-turn.ts";
import { table } from "./timing.ts";

process.env["ORT_DISABLE_TELEMETRY"] = "1";

const BATCH = 128;
const ROUNDS = 15;
/** Rows whose codes are compared with the float64 rule, which takes a second a row. */
const COMPARED = 2;

type Settings = OnePassSettings &
  Partial<Omit<JumpReluSettings & TopkSettings & AbsTopkSettings, keyof OnePassSettings>>;

interface Shape {
  readonly kind: string;
  readonly d: number;
  readonly m: number;
  readonly own: Partial<Settings>;
  /** So that some 60 atoms of a row are active. */
  readonly threshold?: number;
}

const SHAPES: readonly Shape[] = [
  { kind: "jumprelu", d: 2304, m: 16_384, own: { comparison: "strict" }, threshold: 2.7 },
  { kind: "topk", d: 768, m: 24_576, own: { k: 32 } },
];

function weightsOf({ kind, d, m, own, threshold }: Shape): OnePassWeights {
  const matrix = normals(m * d, 1).map((value) => value / Math.sqrt(d));
  const tensors = {
    encoder_weight: matrix,
    encoder_bias: new Float32Array(m),
    ...(threshold !== undefined && { threshold: new Float32Array(m).fill(threshold) }),
  };
  const settings: Settings = { center: false, subtractCenter: false, inputNorm: "none", ...own };
  return { kind, role: "autoencoder", dIn: d, d, m, atoms: matrix, center: null, settings, tensors };
}

const lines: (readonly (string | number)[])[] = [["kind", "d", "m", "active", "product ms", "encode ms", "ratio"]];
for (const shape of SHAPES) {
  const { kind, d, m } = shape;
  const weights = weightsOf(shape);
  const options = { runtime: "cpu", path: "residual", threads: availableParallelism() } as const;
  const session = await createEncoderSession(weights, options);
  const dense = await DensePass.create({ d, m, atoms: weights.tensors["encoder_weight"]! }, options);
  const rows = normals(BATCH * d, 2);
  const batch = {
    rows,
    count: BATCH,
    budgets: {
      maxAtoms: new Int32Array(BATCH).fill(m),
      tolerance: new Float64Array(BATCH),
      residualNorm: new Float64Array(BATCH),
      minGain: new Float64Array(BATCH),
      group: new Int32Array(BATCH),
    },
    trace: false,
    reconstruction: false,
  };
  const { indptr, indices, values } = await session.encode(batch);
  for (let i = 0; i < COMPARED; i++) {
    const rule = referenceCode(rows.subarray(i * d, (i + 1) * d), weights, onePassRule(weights).reference);
    const code = new Map(
      Array.from(indices.subarray(indptr[i], indptr[i + 1]), (j, k) => [j, values[indptr[i]! + k]!]),
    );
    const wrong = rule.values.findIndex(
      (value, j) => !rule.undecided[j] && Math.abs((code.get(j) ?? 0) - value) > Math.max(1e-4, rule.errors[j]!),
    );
    if (wrong >= 0)
      throw new Error(`${kind}, row ${i}: atom ${wrong} is ${code.get(wrong)}, not ${rule.values[wrong]}`);
  }
  const timed = (run: () => Promise<unknown>) => async (): Promise<number> => {
    const started = performance.now();
    await run();
    return performance.now() - started;
  };
  const figures = await inTurn(
    [
      { name: "product", measure: timed(() => passOnce(dense, rows)) },
      { name: "encode", measure: timed(() => session.encode(batch)) },
    ],
    ROUNDS,
  );
  const [product, encode] = [median(figures.get("product")!), median(figures.get("encode")!)];
  lines.push([kind, String(d), String(m), indptr[BATCH]! / BATCH, product, encode, encode / product]);
  await session.release();
  await dense.release();
}
console.log(table(lines));
