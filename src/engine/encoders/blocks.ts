import { type Candidates, type CandidateScan, PlainScan } from "../core/candidate-atoms.ts";
import type { Block } from "../core/dictionary.ts";
import type { OnePassWeights } from "./one-pass.ts";
import { type DecidedCode, referenceCode } from "./reference.ts";
import { onePassSpecOf } from "./registry.ts";

/**
 * Dictionaries over several layers whose atoms each read one of them. Each block of atoms is encoded as a dictionary of its own
 * from its layer's slice of the row: a top k selects within a block.
 */

/**
 * Looks for candidates block by block: k of a top k and the groups of groupmax are of one block.
 * @param norms [m] ||D_j|| as stored
 * @returns null where the rule of an atom depends on no other atom, or there are no blocks
 */
export function blockScan(weights: OnePassWeights, norms: Float64Array): CandidateScan | null {
  if (weights.blocks === undefined) return null;
  const parts = blocksOf(weights).map(({ block: { from, to }, part }) => {
    const { screen } = onePassSpecOf(part).activation(part, norms.subarray(from, to));
    return { from, to, screen, scan: new PlainScan(screen, part.m, part.tensors["encoder_bias"]) };
  });
  return parts.every(({ screen }) => screen.by === "limit") ? null : new BlockScan(parts, weights.m);
}

/** A scan of the scores of atoms [from, to). */
interface ScanPart {
  readonly from: number;
  readonly to: number;
  readonly scan: CandidateScan;
}

class BlockScan implements CandidateScan {
  readonly #parts: readonly ScanPart[];
  readonly #found: Uint32Array;
  readonly #scores: Float32Array;

  constructor(parts: readonly ScanPart[], m: number) {
    this.#parts = parts;
    this.#found = new Uint32Array(m);
    this.#scores = new Float32Array(m);
  }

  room(): null {
    return null;
  }

  candidates(products: Float32Array): Candidates {
    let length = 0;
    for (const { from, to, scan } of this.#parts) {
      const { atoms, scores } = scan.candidates(products.subarray(from, to));
      this.#scores.set(scores, length);
      for (const j of atoms) this.#found[length++] = from + j;
    }
    return { atoms: this.#found.subarray(0, length), scores: this.#scores.subarray(0, length) };
  }
}

/**
 * The code of one row in float64, block by block where the dictionary has blocks.
 * @param input [dIn] normed, and centred where the encoder wants it
 */
export function decidedCode(input: Float64Array, weights: OnePassWeights): DecidedCode {
  const { reference } = onePassSpecOf(weights);
  if (weights.blocks === undefined) return referenceCode(input, weights, reference);
  const code = {
    values: new Float64Array(weights.m),
    errors: new Float64Array(weights.m),
    undecided: Array.from({ length: weights.m }, () => false),
  };
  for (const { block, part } of blocksOf(weights)) {
    const slice = input.subarray(block.layer * part.dIn, (block.layer + 1) * part.dIn);
    const of = referenceCode(slice, part, reference);
    code.values.set(of.values, block.from);
    code.errors.set(of.errors, block.from);
    for (const [j, undecided] of of.undecided.entries()) code.undecided[block.from + j] = undecided;
  }
  return code;
}

interface BlockPart {
  readonly block: Block;
  /** Its atoms alone, over the slice of the row that they read. */
  readonly part: OnePassWeights;
}

const known = new WeakMap<OnePassWeights, readonly BlockPart[]>();

/** The blocks of a dictionary as views of its tensors; made once, so that norms of them are computed once. */
function blocksOf(weights: OnePassWeights): readonly BlockPart[] {
  let parts = known.get(weights);
  if (parts === undefined) {
    const { m, d, dIn, atoms, layers = 1, blocks = [], tensors } = weights;
    const { skip: _, ...perAtom } = tensors;
    const { layers: __, blocks: ___, ...alone } = weights;
    parts = blocks.map((block) => {
      const { from, to } = block;
      const sliced = Object.entries(perAtom).map(([name, values]) => {
        const width = values.length / m;
        return [name, values.subarray(from * width, to * width)] as const;
      });
      const own = { m: to - from, dIn: dIn / layers, atoms: atoms.subarray(from * d, to * d) };
      return { block, part: { ...alone, ...own, tensors: Object.fromEntries(sliced) } };
    });
    known.set(weights, parts);
  }
  return parts;
}
