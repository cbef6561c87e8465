import { atomNorms } from "../../core/dictionary-weights.ts";
import type { CandidateScan } from "../../core/candidate-atoms.ts";
import { type Block, type CoherenceFigures, makesItsRow, type RuntimeChoice } from "../../core/dictionary.ts";
import type { EncodeBatch } from "../../core/encode-batch.ts";
import type { CodesToDecode, SparseCodes } from "../../core/sparse-codes.ts";
import { joinCodes } from "../../core/split-codes.ts";
import { blockScan } from "../../encoders/blocks.ts";
import type { OnePassWeights, ScaledSettings } from "../../encoders/one-pass.ts";
import { onePassSpecOf } from "../../encoders/registry.ts";
import { coherenceOf, freeMemory } from "../gram/gram.ts";
import { DensePass } from "../onnx/dense-pass.ts";
import type { OnnxSessionOptions } from "../onnx/onnx-session.ts";
import type { EncoderSession } from "../process/encoder-session.ts";
import { placeAtoms } from "../kernel/atom-residual.ts";
import { type LoopThreads, startOnePassThreads } from "../kernel/loop-threads.ts";
import type { OnePassJob } from "../kernel/one-pass-loop.ts";
import { createScan } from "../kernel/score-scan.ts";
import { AtomSession } from "./atom-session.ts";
import { OnePassCodes } from "./one-pass-codes.ts";
import { type OnePassRows, onePassRows } from "./one-pass-rows.ts";

/** Products of one run of the dense pass, 32 MiB, which stay in memory: a large dictionary encodes a batch in several runs. */
const PRODUCTS_AT_ONCE = 1 << 23;

/** Bytes of atoms from which several threads make codes. */
const HELP_FROM = 1 << 25;

export interface OnePassOptions extends OnnxSessionOptions {
  /** Whether the session may free the encoder's matrix: nobody else will read it. */
  readonly ownsWeights?: boolean;
  /** Bytes of atoms from which helpers start; unless given, more than a cache holds. */
  readonly helpFrom?: number;
}

/** Fewest rows of a run: a single row takes another way through the runtime than many, and rounds differently. */
const LEAST_ROWS = 2;

/** A one-pass encoder: the dense pass in ONNX Runtime, then the activation rule of its kind over each row of its products. */
export class OnePassSession extends AtomSession<OnePassWeights> implements EncoderSession {
  readonly chosen: RuntimeChoice;
  readonly coherence: CoherenceFigures;
  readonly #dense: DensePass;
  /** x · skipᵀ of a transcoder that has one. */
  readonly #skip: DensePass | null;
  readonly #scan: CandidateScan;
  readonly #loop: LoopThreads<OnePassJob>;
  readonly #codes: OnePassCodes;

  private constructor(
    dense: DensePass,
    skip: DensePass | null,
    scan: CandidateScan,
    weights: OnePassWeights,
    norms: Float64Array,
    loop: LoopThreads<OnePassJob>,
    codes: OnePassCodes,
    { runtime, threads }: OnnxSessionOptions,
  ) {
    super(weights, norms, threads);
    this.#dense = dense;
    this.#skip = skip;
    this.#scan = scan;
    this.#loop = loop;
    this.#codes = codes;
    this.chosen = { runtime, path: "dense" };
    this.coherence = coherenceOf(norms, null);
  }

  static async create(given: OnePassWeights, options: OnePassOptions): Promise<OnePassSession> {
    const { d, dIn, m, tensors, blocks, layers = 1 } = given;
    const stored = atomNorms(given);
    const activation = onePassSpecOf(given).activation(given, stored);
    const height = rowsAtOnce(m);
    const scan = blockScan(given, stored) ?? createScan(activation.screen, m, height * m, tensors["encoder_bias"]);
    const encoder = { d: dIn, m, atoms: tensors["encoder_weight"]! };
    const freed = options.ownsWeights === true ? () => freeMemory(encoder.atoms) : undefined;
    const dense = await DensePass.create({ ...encoder, ...(blocks && { blocks, layers }) }, options, freed);
    const skip = tensors["skip"];
    // A dictionary with blocks has a skip of each layer to the same layer.
    const perLayer = blocks && { layers, blocks: evenBlocks(d, layers) };
    const added =
      skip === undefined ? null : await DensePass.create({ d: dIn, m: d, atoms: skip, ...perLayer }, options);
    const scaled = (given.settings as ScaledSettings).scaleByDecoderNorm === true;
    // The runtime holds these two by now.
    const { encoder_weight: _, skip: __, ...kept } = tensors;
    const light = { ...given, tensors: kept };
    const used = scaled ? { ...light, atoms: unitAtoms(given, stored) } : light;
    const { weights, shared } = placeAtoms(used, options.threads);
    const norms = scaled ? atomNorms(weights) : stored;
    // In cache, reading atoms is no work for two.
    const threads = weights.atoms.byteLength < (options.helpFrom ?? HELP_FROM) ? 1 : options.threads;
    const loop = await startOnePassThreads(weights, shared, norms, threads);
    const codes = new OnePassCodes({ weights, scan, activation, threads: loop }, height);
    return new OnePassSession(dense, added, scan, weights, norms, loop, codes, options);
  }

  async encode(batch: EncodeBatch): Promise<SparseCodes> {
    const { m, role } = this.weights;
    const needsConstant = !makesItsRow(role) && (batch.targets !== undefined || batch.reconstruction);
    const constant = needsConstant ? await this.#constant(batch) : null;
    const rows = onePassRows(batch, this.weights, constant);
    const parts: SparseCodes[] = [];
    const height = rowsAtOnce(m);
    for (let from = 0; from < batch.count; from += height) {
      const to = Math.min(from + height, batch.count);
      const products = await this.#products(rows, from, to);
      parts.push(this.#codes.make({ from, to, products }, rows, batch, constant));
      if (this.#scan.room(0) === null) freeMemory(products);
    }
    return joinCodes(parts);
  }

  /** [to − from, m] products of rows [from, to). Free them where the scan has no room of its own. */
  async #products({ input, count }: OnePassRows, from: number, to: number): Promise<Float32Array> {
    const { dIn, m } = this.weights;
    const end = Math.min(Math.max(to, from + LEAST_ROWS), count);
    const start = Math.min(from, end - LEAST_ROWS);
    const room = this.#scan.room((end - start) * m);
    const products = await this.#dense.run(input.subarray(start * dIn, end * dIn), room ?? undefined);
    return products.subarray((from - start) * m, (to - start) * m);
  }

  override async decode(codes: CodesToDecode): Promise<Float32Array> {
    const rows = await super.decode(codes);
    if (this.#skip === null) return rows;
    if (codes.inputs === undefined) throw new Error("codes of a transcoder with a skip are decoded beside their rows");
    const added = await this.#skipped({ rows: codes.inputs, count: codes.count });
    return rows.map((value, at) => value + added[at]!);
  }

  /** [count, d] what decode adds to every code of a transcoder: b, and x · skipᵀ of the row as it was posted. */
  async #constant({ rows, count }: Pick<EncodeBatch, "rows" | "count">): Promise<Float32Array> {
    const { d, center } = this.weights;
    const constant = this.#skip === null ? new Float32Array(count * d) : await this.#skipped({ rows, count });
    return center === null ? constant : constant.map((value, at) => value + center[at % d]!);
  }

  /** As in encode, a run has two rows at least. */
  async #skipped({ rows, count }: Pick<EncodeBatch, "rows" | "count">): Promise<Float32Array> {
    const { d, dIn } = this.weights;
    const padded = new Float32Array(Math.max(count, 2) * dIn);
    padded.set(rows);
    return (await this.#skip!.run(padded)).slice(0, count * d);
  }

  override async release(): Promise<void> {
    await super.release();
    await this.#loop.close();
    await this.#skip?.release();
    await this.#dense.release();
  }
}

/** Rows of one run of the dense pass. */
const rowsAtOnce = (m: number): number => Math.max(LEAST_ROWS, Math.floor(PRODUCTS_AT_ONCE / m));

/** Outputs [from, to) of each layer, from the same layer's slice. */
function evenBlocks(d: number, layers: number): readonly Pick<Block, "from" | "to" | "layer">[] {
  const width = d / layers;
  return Array.from({ length: layers }, (_, layer) => ({ from: layer * width, to: (layer + 1) * width, layer }));
}

/** D_j / ||D_j||, which decode uses where scores were multiplied by the norms. */
function unitAtoms({ d, m, atoms }: OnePassWeights, norms: Float64Array): Float32Array {
  const unit = new Float32Array(atoms.length);
  for (let j = 0; j < m; j++) {
    const scale = norms[j] === 0 ? 0 : 1 / norms[j]!;
    for (let at = j * d; at < (j + 1) * d; at++) unit[at] = atoms[at]! * scale;
  }
  return unit;
}
