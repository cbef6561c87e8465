import { LRUCache } from "lru-cache";
import type { RequestBudget } from "../core/budget.ts";
import { type DictionaryManifest, makesItsRow, type Role } from "../core/dictionary.ts";
import type { EncodeAnswer, EncodeRequest } from "../engine.ts";
import { EngineError } from "../core/errors.ts";
import { snakeCase } from "../core/json-object.ts";
import type { Rows } from "../core/rows.ts";
import type { SparseCodes, Typicality } from "../core/sparse-codes.ts";
import type { FeaturesMeta } from "../dictionaries/features-file.ts";

/** Sorted figures of reference rows that were encoded as a request's rows are. A figure that is absent is not compared. */
export interface ReferenceRows {
  readonly relativeErrors: Float64Array;
  readonly norms?: Float64Array;
  readonly atoms: Float64Array;
  /** Mean −log rate of the active atoms. */
  readonly surprises?: Float64Array;
}

/** What a row is compared with: reference rows, and −log rate of each feature [m] where rates are known. */
export interface Reference {
  readonly rows: ReferenceRows;
  readonly surprise: Float64Array | null;
}

/** What a loaded dictionary knows of its features. */
interface KnownFeatures {
  /** Facts of its features file; null where it has none with reference rows. */
  readonly meta: FeaturesMeta | null;
  rate(index: number): number | undefined;
}

/** The dictionary that rows are compared with. */
interface Referred {
  readonly id: string;
  readonly examples: () => Promise<{ readonly rows: Float32Array } | null>;
  readonly serving: () => {
    readonly manifest: Pick<DictionaryManifest, "dIn" | "m" | "defaultBudget">;
    readonly features: KnownFeatures;
  };
}

/** Budgets and encoders of one dictionary whose reference rows are kept. */
const KEPT = 64;

/** Figures of dictionaries' reference rows by budget and encoder, made when they are first asked for. */
export class References {
  /** By what is known of a loaded version: another load starts anew. */
  readonly #known = new WeakMap<KnownFeatures, LRUCache<string, Reference>>();

  /**
   * Takes the reference rows of the features file where they were encoded as the request asks; else encodes the examples.
   * @throws EngineError PURSUIT_NO_EXAMPLES, PURSUIT_BUDGET_OUT_OF_RANGE, and what encode throws
   */
  async of(
    dictionary: Referred,
    { budget, encoder }: EncodeRequest,
    encode: (request: EncodeRequest) => Promise<EncodeAnswer>,
  ): Promise<Reference> {
    const { manifest, features } = dictionary.serving();
    const common = referenceBudget(budget);
    const key = JSON.stringify([common, encoder]);
    let known = this.#known.get(features);
    if (known === undefined) this.#known.set(features, (known = new LRUCache({ max: KEPT })));
    const held = known.get(key);
    if (held !== undefined) return held;
    const surprise = features.meta === null ? null : surprises(features, features.meta.rows, manifest.m);
    const { dIn } = manifest;
    const examples = await dictionary.examples();
    const rows = examples && { data: examples.rows, count: examples.rows.length / dIn, width: dIn };
    const way = wayOf(common ?? manifest.defaultBudget ?? {}, encoder);
    const counted = features.meta !== null && same(way, features.meta) ? storedRows(features.meta, rows) : null;
    let reference: Reference;
    if (counted !== null) reference = { rows: counted, surprise };
    else if (rows !== null) {
      const request = { rows, budget: common, trace: false, reconstruction: false, ...(encoder && { encoder }) };
      reference = { rows: referenceRows(rows, (await encode(request)).codes, surprise), surprise };
    } else throw new EngineError("PURSUIT_NO_EXAMPLES", nothingToCompare(dictionary.id, features.meta));
    known.set(key, reference);
    return reference;
  }
}

interface Way {
  readonly budget: unknown;
  readonly encoder: unknown;
}

/** How rows are encoded, as a features file names it. */
const wayOf = (budget: object, encoder: EncodeRequest["encoder"]): Way => ({
  budget: snakeCase(budget),
  encoder: encoder === undefined ? "own" : snakeCase(encoder),
});

const same = (way: Way, { budget, encoder }: Partial<Way>): boolean =>
  sortedJson([way.budget, way.encoder]) === sortedJson([budget, encoder]);

const sortedJson = (value: unknown): string =>
  JSON.stringify(value, (_, one: unknown) =>
    typeof one === "object" && one !== null && !Array.isArray(one)
      ? Object.fromEntries(Object.entries(one).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : one,
  );

function nothingToCompare(id: string, meta: FeaturesMeta | null): string {
  const none = `include: typicality compares rows with reference rows, and dictionary ${id} has no examples (examples.safetensors, examples.json)`;
  if (meta === null) return `${none} and no statistics. Make some: pursuit stats ${id} --rows FILES.`;
  return `${none}; its statistics are of budget ${JSON.stringify(meta.budget)} and encoder ${JSON.stringify(meta.encoder)}. Ask for these, or run pursuit stats with yours.`;
}

/** −log rate of each feature. One that no reference row has counts as if half a row had it. */
function surprises(features: KnownFeatures, rows: number, m: number): Float64Array {
  const least = 0.5 / rows;
  return Float64Array.from({ length: m }, (_, index) => -Math.log(Math.max(least, features.rate(index) ?? 0)));
}

/** Points between two of the stored quantiles, so that quantiles are told apart to 0.001. */
const BETWEEN = 10;

/** The figures of a features file as if they were rows; null where it has none. @param examples for norms, which old files lack */
function storedRows({ figures }: FeaturesMeta, examples: Rows | null): ReferenceRows | null {
  if (figures === undefined) return null;
  const { relativeError, atoms, surprise, norm } = figures.typical;
  if (relativeError.length === 0 || atoms.length === 0 || surprise.length === 0) return null;
  const norms = norm !== undefined ? refined(norm) : examples && normsOf(examples).toSorted();
  return {
    relativeErrors: refined(relativeError),
    atoms: Float64Array.from(atoms),
    surprises: refined(surprise),
    ...(norms && { norms }),
  };
}

function refined(quantiles: readonly number[]): Float64Array {
  return Float64Array.from({ length: BETWEEN * (quantiles.length - 1) + 1 }, (_, at) => {
    const low = Math.floor(at / BETWEEN);
    const from = quantiles[low]!;
    return from + ((at % BETWEEN) / BETWEEN) * ((quantiles[low + 1] ?? from) - from);
  });
}

/** @throws EngineError PURSUIT_ROLE_MISMATCH, PURSUIT_BUDGET_OUT_OF_RANGE */
export function checkTypical(id: string, role: Role, budget: RequestBudget): void {
  referenceBudget(budget);
  if (makesItsRow(role)) return;
  const message = `include: dictionary ${id} is a ${role}, whose errors are known only beside targets, and reference rows have none. Leave typicality out.`;
  throw new EngineError("PURSUIT_ROLE_MISMATCH", message);
}

/** Figures of rows and their codes. @param surprise −log rate of each feature; null: not known */
export function referenceRows(rows: Rows, codes: SparseCodes, surprise: Float64Array | null): ReferenceRows {
  const { relativeErrors, norms, atoms, surprises: own } = figuresOf(rows, codes, surprise);
  return {
    relativeErrors: relativeErrors.toSorted(),
    norms: norms.toSorted(),
    atoms: atoms.toSorted(),
    ...(own && { surprises: own.toSorted() }),
  };
}

/** At which quantile of the reference rows each row's figures lie, 0 to 1. */
export function typicalityOf(rows: Rows, codes: SparseCodes, { rows: reference, surprise }: Reference): Typicality {
  const own = figuresOf(rows, codes, surprise);
  const among = (figures: Float64Array, sorted: Float64Array): Float32Array =>
    Float32Array.from(figures, (figure) => quantileOf(figure, sorted));
  return {
    relativeErrors: among(own.relativeErrors, reference.relativeErrors),
    atoms: among(own.atoms, reference.atoms),
    ...(reference.norms && { norms: among(own.norms, reference.norms) }),
    ...(own.surprises && reference.surprises && { surprises: among(own.surprises, reference.surprises) }),
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

function figuresOf(rows: Rows, codes: SparseCodes, surprise: Float64Array | null) {
  const { relativeErrors, indptr, indices } = codes;
  const atoms = Float64Array.from({ length: rows.count }, (_, i) => indptr[i + 1]! - indptr[i]!);
  const meanSurprise = (i: number): number => {
    const own = indices.subarray(indptr[i], indptr[i + 1]);
    return own.reduce((sum, j) => sum + surprise![j]!, 0) / Math.max(1, own.length);
  };
  return {
    relativeErrors: Float64Array.from(relativeErrors!),
    norms: normsOf(rows),
    atoms,
    ...(surprise && { surprises: Float64Array.from(atoms, (_, i) => meanSurprise(i)) }),
  };
}

function normsOf({ data, width, count }: Rows): Float64Array {
  return Float64Array.from({ length: count }, (_, i) =>
    Math.sqrt(data.subarray(i * width, (i + 1) * width).reduce((sum, value) => sum + value * value, 0)),
  );
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
