import { LRUCache } from "lru-cache";
import type { RequestBudget } from "../core/budget.ts";
import { makesItsRow, type Role } from "../core/dictionary.ts";
import type { EncodeAnswer, EncodeRequest } from "../engine.ts";
import { EngineError } from "../core/errors.ts";
import type { Rows } from "../core/rows.ts";
import type { SparseCodes, Typicality } from "../core/sparse-codes.ts";

/** Sorted figures of reference rows that were encoded as a request's rows are. */
export interface ReferenceRows {
  readonly relativeErrors: Float64Array;
  readonly norms: Float64Array;
  readonly atoms: Float64Array;
}

/** Budgets and encoders of one dictionary whose reference rows are kept. */
const KEPT = 64;

/** The dictionary that rows are compared with. */
interface Referred {
  readonly id: string;
  readonly examples: () => Promise<{ readonly rows: Float32Array } | null>;
  readonly serving: () => { readonly manifest: { readonly dIn: number } };
}

/** Figures of dictionaries' held-out rows by budget and encoder, made when they are first asked for. */
export class References {
  readonly #known = new WeakMap<Referred, LRUCache<string, ReferenceRows>>();

  /** @throws EngineError PURSUIT_NO_EXAMPLES, PURSUIT_BUDGET_OUT_OF_RANGE, and what encode throws */
  async of(
    dictionary: Referred,
    { budget, encoder }: EncodeRequest,
    encode: (request: EncodeRequest) => Promise<EncodeAnswer>,
  ): Promise<ReferenceRows> {
    const common = referenceBudget(budget);
    const key = JSON.stringify([common, encoder]);
    let known = this.#known.get(dictionary);
    if (known === undefined) this.#known.set(dictionary, (known = new LRUCache({ max: KEPT })));
    const held = known.get(key);
    if (held !== undefined) return held;
    const examples = await dictionary.examples();
    if (examples === null) {
      const message = `include: typicality compares rows with the examples of dictionary ${dictionary.id}, and its folder has none (examples.safetensors, examples.json).`;
      throw new EngineError("PURSUIT_NO_EXAMPLES", message);
    }
    const { dIn } = dictionary.serving().manifest;
    const rows = { data: examples.rows, count: examples.rows.length / dIn, width: dIn };
    const request = { rows, budget: common, trace: false, reconstruction: false, ...(encoder && { encoder }) };
    const reference = referenceRows(rows, (await encode(request)).codes);
    known.set(key, reference);
    return reference;
  }
}

/** @throws EngineError PURSUIT_ROLE_MISMATCH, PURSUIT_BUDGET_OUT_OF_RANGE */
export function checkTypical(id: string, role: Role, budget: RequestBudget): void {
  referenceBudget(budget);
  if (makesItsRow(role)) return;
  const message = `include: dictionary ${id} is a ${role}, whose errors are known only beside targets, which its examples have not. Leave typicality out.`;
  throw new EngineError("PURSUIT_ROLE_MISMATCH", message);
}

/** Figures of rows and their codes. */
export function referenceRows(rows: Rows, codes: SparseCodes): ReferenceRows {
  const { relativeErrors, norms, atoms } = figuresOf(rows, codes);
  return { relativeErrors: relativeErrors.toSorted(), norms: norms.toSorted(), atoms: atoms.toSorted() };
}

/** At which quantile of the reference rows each row's figures lie, 0 to 1. */
export function typicalityOf(rows: Rows, codes: SparseCodes, reference: ReferenceRows): Typicality {
  const { relativeErrors, norms, atoms } = figuresOf(rows, codes);
  return {
    relativeErrors: Float32Array.from(relativeErrors, (error) => quantileOf(error, reference.relativeErrors)),
    norms: Float32Array.from(norms, (norm) => quantileOf(norm, reference.norms)),
    atoms: Float32Array.from(atoms, (count) => quantileOf(count, reference.atoms)),
  };
}

/**
 * The one budget that reference rows can be encoded under, too.
 * @throws EngineError PURSUIT_BUDGET_OUT_OF_RANGE where rows have budgets of their own
 */
export function referenceBudget(budget: RequestBudget): RequestBudget {
  if (!Array.isArray(budget)) return budget;
  const [first = null] = budget as readonly (typeof budget)[number][];
  if (budget.every((one) => JSON.stringify(one) === JSON.stringify(first))) return first;
  const message =
    "include: typicality compares rows with reference rows under the same budget, so all rows need one budget. Send rows of different budgets in separate requests.";
  throw new EngineError("PURSUIT_BUDGET_OUT_OF_RANGE", message);
}

function figuresOf({ data, width, count }: Rows, { relativeErrors, indptr }: SparseCodes): ReferenceRows {
  const norms = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    let squares = 0;
    for (let at = i * width; at < (i + 1) * width; at++) squares += data[at]! ** 2;
    norms[i] = Math.sqrt(squares);
  }
  return {
    relativeErrors: Float64Array.from(relativeErrors!),
    norms,
    atoms: Float64Array.from({ length: count }, (_, i) => indptr[i + 1]! - indptr[i]!),
  };
}

/** Relative difference up to which two figures are equal: rows of one norm differ by rounding. */
const SAME = 1e-5;

/** Share of the sorted figures below this one, those equal to it by half. */
function quantileOf(figure: number, sorted: Float64Array): number {
  const margin = SAME * Math.abs(figure);
  const below = firstOver(sorted, figure - margin, true);
  const notAbove = firstOver(sorted, figure + margin, false);
  return (below + notAbove) / (2 * sorted.length);
}

/** Number of sorted figures under a limit. @param strict whether those equal to it are left out */
function firstOver(sorted: Float64Array, limit: number, strict: boolean): number {
  let [from, to] = [0, sorted.length];
  while (from < to) {
    const middle = (from + to) >> 1;
    if (sorted[middle]! < limit || (!strict && sorted[middle] === limit)) from = middle + 1;
    else to = middle;
  }
  return from;
}
