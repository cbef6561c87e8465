/**
 * One-pass encoders beside ONNX Runtime's bare matrix product, and beside SAELens' encode + to_sparse_csr on PyTorch, plain
 * and compiled: a batch and a single row, in turns. Codes are compared before a time counts.
 */
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { encodeSafetensors } from "../../src/engine/dictionaries/formats/safetensors.ts";
import type { SparseCodes } from "../../src/engine/core/sparse-codes.ts";
import type { OnePassWeights } from "../../src/engine/encoders/one-pass.ts";
import { referenceCode } from "../../src/engine/encoders/reference.ts";
import { onePassSpecOf } from "../../src/engine/encoders/registry.ts";
import { batchOf } from "../../test/support/batch.ts";
import { normals } from "../../test/support/seeded.ts";
import { type BaselineCodes, BaselineProcess } from "./baseline-process.ts";
import { createEncoderSession, DensePass, passOnce } from "./built.ts";
import { type Contestant, inTurn, median } from "./in-turn.ts";
import type { Bench } from "./measure-shape.ts";
import { repeatedCall } from "./repeated-call.ts";
import { table } from "./timing.ts";

interface Shape {
  readonly kind: "jumprelu" | "topk";
  readonly d: number;
  readonly m: number;
  readonly settings: { readonly k?: number; readonly comparison?: "strict" };
  /** So that some 60 atoms of a row are active. */
  readonly threshold?: number;
}

const SHAPES: readonly Shape[] = [
  { kind: "jumprelu", d: 2304, m: 16_384, settings: { comparison: "strict" }, threshold: 2.68 },
  { kind: "topk", d: 768, m: 24_576, settings: { k: 32 } },
];

const ROUNDS = 7;

/** Rows whose codes are compared. */
const COMPARED = 8;

/** Difference of values that float32 explains, as a share of the row's largest. */
const CLOSE = 1e-4;

const BASELINES = ["saelens", "torch.compile"] as const;

/** Goals of the ratios: at most over the product, at least over each baseline, at least over PyTorch's single row. */
const GOALS = { product: 1.15, saelens: 1.5, "torch.compile": 1.2, single: 1 } as const;

/** Dictionary of a shape: the atoms are the encoder's matrix. */
export function onePassWeights({ kind, d, m, settings, threshold }: Shape): OnePassWeights {
  const matrix = normals(m * d, 1);
  for (let at = 0; at < matrix.length; at++) matrix[at]! /= Math.sqrt(d);
  const tensors = {
    encoder_weight: matrix,
    encoder_bias: new Float32Array(m),
    ...(threshold !== undefined && { threshold: new Float32Array(m).fill(threshold) }),
  };
  const all = { center: false, subtractCenter: false, inputNorm: "none", ...settings } as const;
  return { kind, role: "autoencoder", dIn: d, d, m, atoms: matrix, center: null, settings: all, tensors };
}

/** @returns a table and notes */
export async function measureOnePass(
  bench: Bench,
  python: string,
): Promise<{ readonly lines: string; readonly notes: readonly string[] }> {
  const lines: (string | number)[][] = [
    ["kind", "d", "m", "active", "against", "us/row", "ours us/row", "ratio", "goal", ""],
  ];
  const notes: string[] = [];
  for (const shape of SHAPES) await measure(shape, bench, python, lines, notes);
  return { lines: table(lines), notes };
}

async function measure(
  shape: Shape,
  { batch, threads, rounds = ROUNDS, progress, scratch, bandwidth }: Bench,
  python: string,
  lines: (string | number)[][],
  notes: string[],
): Promise<void> {
  const { kind, d, m, settings } = shape;
  progress(`${kind} ${d} × ${m}, one pass`);
  const weights = onePassWeights(shape);
  const rows = normals(batch * d, 2);
  const session = await createEncoderSession(weights, { runtime: "cpu", path: "residual", threads });
  const dense = await DensePass.create({ d, m, atoms: weights.atoms }, { runtime: "cpu", threads });
  const of = (count: number) => ({ ...batchOf(rows.subarray(0, count * d), d, { maxAtoms: m }), trace: false });
  const codes = await session.encode(of(batch));
  const active = codes.indptr[batch]! / batch;
  const contestants: Contestant[] = [
    { name: "product", measure: (await repeatedCall(batch, () => passOnce(dense, rows))).measure },
    { name: "ours", measure: (await repeatedCall(batch, () => session.encode(of(batch)))).measure },
    { name: "single", measure: (await repeatedCall(1, () => session.encode(of(1)))).measure },
    { name: "read", measure: async () => bandwidth!.measure() },
  ];
  const file = join(scratch, `${kind}.safetensors`);
  const { encoder_weight, threshold } = weights.tensors;
  const tensors = {
    encoder_weight: { shape: [m, d], data: encoder_weight! },
    rows: { shape: [batch, d], data: rows },
    ...(threshold && { threshold: { shape: [m], data: threshold } }),
  };
  await writeFile(file, encodeSafetensors(tensors));
  const processes = new Map(BASELINES.map((name) => [name, new BaselineProcess(python, "one_pass.py")]));
  try {
    for (const [baseline, process] of processes) {
      try {
        await process.ask({ file, threads, kind, settings });
        const request = { baseline, batch, repeats: 3 };
        const theirs = await process.ask<BaselineCodes>({ ...request, codes: COMPARED });
        const fault = difference(codes, theirs, rows, weights);
        if (fault !== null) throw new Error(fault);
        const alone = { baseline, batch: 1, repeats: 10 };
        await process.ask<BaselineCodes>(alone);
        const ask = async (what: object): Promise<number> =>
          median((await process.ask<BaselineCodes>(what)).us_per_row);
        contestants.push({ name: baseline, measure: () => ask(request) });
        contestants.push({ name: `${baseline}, single row`, measure: () => ask(alone) });
      } catch (error) {
        notes.push(`SKIPPED ${baseline}, ${kind} (tools/baselines/README.md): ${(error as Error).message}`);
      }
    }
    const figures = await inTurn(contestants, rounds);
    const figure = (name: string): number => median(figures.get(name)!);
    /** Median of the rounds' own ratios: what slows the machine in a round slows both. */
    const ratio = (over: string, under: string): number =>
      median(figures.get(over)!.map((value, round) => value / figures.get(under)![round]!));
    const add = (against: string, own: "ours" | "single", value: number, goal: number, met: boolean): void => {
      const sign = against === "product" ? "≤" : "≥";
      lines.push([
        kind,
        String(d),
        String(m),
        active,
        against,
        figure(against),
        figure(own),
        value,
        `${sign} ${goal}`,
        met ? "met" : "MISSED",
      ]);
    };
    const product = ratio("ours", "product");
    add("product", "ours", product, GOALS.product, product <= GOALS.product);
    for (const baseline of BASELINES) {
      if (!figures.has(baseline)) continue;
      const faster = ratio(baseline, "ours");
      add(baseline, "ours", faster, GOALS[baseline], faster >= GOALS[baseline]);
      const single = ratio(`${baseline}, single row`, "single");
      add(`${baseline}, single row`, "single", single, GOALS.single, single >= GOALS.single);
    }
    const rate = (4 * m * d) / (figure("single") / 1e6);
    const share = rate / figure("read");
    const read = `${(rate / 1e9).toFixed(1)} of ${(figure("read") / 1e9).toFixed(1)} GB/s`;
    notes.push(`${kind}: a single row reads the encoder's weights at ${read}, a share of ${share.toFixed(2)}`);
  } finally {
    await Promise.all([...processes.values()].map((process) => process.close()));
    await session.release();
    await dense.release();
    await rm(file);
  }
}

/** How the codes of the first rows differ where float32 decides; null where they agree. */
function difference(
  ours: SparseCodes,
  theirs: BaselineCodes,
  rows: Float32Array,
  weights: OnePassWeights,
): string | null {
  for (let i = 0; i + 1 < theirs.indptr.length; i++) {
    const own = codeOf(ours, i);
    const other = codeOf(theirs, i);
    const allowed = CLOSE * Math.max(...[...own.values()].map(Math.abs));
    const differing = [...new Set([...own.keys(), ...other.keys()])].filter(
      (j) => !(Math.abs((own.get(j) ?? Infinity) - (other.get(j) ?? Infinity)) <= allowed),
    );
    if (differing.length === 0) continue;
    const row = rows.subarray(i * weights.dIn, (i + 1) * weights.dIn);
    const { undecided } = referenceCode(row, weights, onePassSpecOf(weights).reference);
    const wrong = differing.find((j) => undecided[j] !== true);
    if (wrong !== undefined) return `row ${i}: atom ${wrong} is ${own.get(wrong)} here and ${other.get(wrong)} there`;
  }
  return null;
}

type Columns = { readonly [column in "indptr" | "indices" | "values"]: ArrayLike<number> };

function codeOf({ indptr, indices, values }: Columns, i: number): Map<number, number> {
  const code = new Map<number, number>();
  for (let k = indptr[i]!; k < indptr[i + 1]!; k++) code.set(indices[k]!, values[k]!);
  return code;
}
