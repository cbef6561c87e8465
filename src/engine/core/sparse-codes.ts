/**
 * Why a row's pursuit ended (docs/algorithm.md, Stop reasons), by their numbers in {@link SparseCodes.stops}.
 * `degraded`: shortened under load, as the request allowed. `dependent` is orthogonal pursuit's.
 */
export const STOP_REASONS = [
  "max_atoms",
  "tolerance",
  "residual_norm",
  "min_gain",
  "no_gain",
  "repeat",
  "degraded",
  "dependent",
  "active_end",
] as const;

export type StopReason = (typeof STOP_REASONS)[number];

/** Every selection of every row, unmerged and in order: row i has `indptr[i] … indptr[i + 1]`. */
export interface PursuitTrace {
  /** [n + 1] */
  readonly indptr: Uint32Array;
  readonly indices: Uint32Array;
  readonly values: Float32Array;
  /** ||r|| after that selection, in pursuit space; absent if there is nothing to measure against. */
  readonly residualNorms?: Float32Array;
}

/**
 * Sparse codes of a batch in compressed-sparse-row form. Within a row `indices` ascend and are distinct, `values`
 * hold no zero and no NaN (a re-selected atom is one entry, its values summed).
 */
export interface SparseCodes {
  /** Number of rows, n. */
  readonly count: number;
  /** Number of atoms, m. */
  readonly width: number;
  /** [n + 1] */
  readonly indptr: Uint32Array;
  /** [nnz] */
  readonly indices: Uint32Array;
  /** [nnz] */
  readonly values: Float32Array;
  /** [n] selections made. */
  readonly steps: Uint32Array;
  /** [n] positions in {@link STOP_REASONS}. */
  readonly stops: Uint8Array;
  /** [n] ||r|| in pursuit space, recomputed from x and z; absent if there is nothing to measure against. */
  readonly residualNorms?: Float32Array;
  /** [n] ||r|| / ||x - b||; 0 where x = b. Absent with `residualNorms`. */
  readonly relativeErrors?: Float32Array;
  /** Present under an input norm. Decode undoes it: x = y · scale + shift. */
  readonly norm?: { readonly shift: Float32Array; readonly scale: Float32Array };
  readonly trace?: PursuitTrace;
  /** [n · d] x̂, in the space of the posted rows. */
  readonly reconstruction?: Float32Array;
  readonly correlations?: Correlations;
  readonly typicality?: Typicality;
}

/** At which quantile of the dictionary's reference rows, encoded the same way, figures of each row lie: 0 to 1. */
export interface Typicality {
  /** [n] ||r|| / ||x − b|| */
  readonly relativeErrors: Float32Array;
  /** [n] ||x|| of the row as it was posted. */
  readonly norms?: Float32Array;
  /** [n] */
  readonly atoms: Float32Array;
  /** [n] Mean −log rate of the active atoms; absent where rates are not known. */
  readonly surprises?: Float32Array;
}

/** The k largest numbers of D·(x − b) of each row, in pursuit space, by ascending index: row i has k entries from i · k on. */
export interface Correlations {
  /** [n · k] */
  readonly indices: Uint32Array;
  /** [n · k] */
  readonly values: Float32Array;
}

export type CodeColumn = Uint8Array<ArrayBuffer> | Uint32Array | Float32Array;

/**
 * Unit of a column's entries. `pointers`: row i has entries `[i] … [i + 1]`. `values`: equally many numbers for each
 * row.
 */
type Extent = "pointers" | "entries" | "rows" | "trace_pointers" | "trace_entries" | "values";

/** Columns that belong together are one object of codes and of answers. */
type ColumnGroup = "norm" | "trace" | "correlations" | "typicality";

export interface ColumnRule {
  /** Path in {@link SparseCodes}. */
  readonly path: readonly [string] | readonly [ColumnGroup, string];
  /** Path in an answer. */
  readonly key: readonly [string] | readonly [ColumnGroup, string];
  /** Its name in frames and safetensors. */
  readonly name: string;
  readonly type: new (length: number) => CodeColumn;
  readonly extent: Extent;
  /** For the documentation of the API. */
  readonly about: string;
  /** Whether some codes lack it; for a column of a group, whether some of those groups lack it. */
  readonly optional?: boolean;
  /** Texts that the column's numbers stand for. */
  readonly names?: readonly string[];
}

type Place = ColumnRule["path"];

/** @param path in {@link SparseCodes}. @param key in an answer */
function columnRule(
  path: string,
  key: string,
  type: ColumnRule["type"],
  extent: Extent,
  about: string,
  options: Pick<ColumnRule, "optional" | "names"> = {},
): ColumnRule {
  const place = (dotted: string): Place => dotted.split(".") as unknown as Place;
  return { path: place(path), key: place(key), name: key.replace(".", "_"), type, extent, about, ...options };
}

const OPTIONAL = { optional: true } as const;
const NO_TARGETS = "Absent for a transcoder without targets";

/**
 * Every column of codes. Slicing, joining, the protocol, all answer writers and the OpenAPI document loop over this
 * table. A column that codes lack is left out everywhere.
 */
export const CODE_COLUMNS: readonly ColumnRule[] = [
  columnRule("indptr", "indptr", Uint32Array, "pointers", "Row i has the entries indptr[i] to indptr[i + 1]"),
  columnRule("indices", "indices", Uint32Array, "entries", "Ascending and distinct"),
  columnRule("values", "values", Float32Array, "entries", "One per index"),
  columnRule("steps", "steps", Uint32Array, "rows", "Selections made"),
  columnRule("residualNorms", "residual_norm", Float32Array, "rows", `‖r‖ in pursuit space. ${NO_TARGETS}`, OPTIONAL),
  columnRule(
    "relativeErrors",
    "relative_error",
    Float32Array,
    "rows",
    `‖r‖ / ‖x − b‖; 0 where x = b. ${NO_TARGETS}`,
    OPTIONAL,
  ),
  columnRule("norm.shift", "norm.shift", Float32Array, "rows", ""),
  columnRule("norm.scale", "norm.scale", Float32Array, "rows", ""),
  columnRule("trace.indptr", "trace.indptr", Uint32Array, "trace_pointers", ""),
  columnRule("trace.indices", "trace.indices", Uint32Array, "trace_entries", ""),
  columnRule("trace.values", "trace.values", Float32Array, "trace_entries", ""),
  columnRule(
    "trace.residualNorms",
    "trace.residual_norms",
    Float32Array,
    "trace_entries",
    "‖r‖ after each selection",
    OPTIONAL,
  ),
  columnRule("reconstruction", "reconstruction", Float32Array, "values", "x̂, d_out numbers", OPTIONAL),
  columnRule("correlations.indices", "correlations.indices", Uint32Array, "values", "Ascending and distinct"),
  columnRule("correlations.values", "correlations.values", Float32Array, "values", "One per index"),
  columnRule("typicality.relativeErrors", "typicality.relative_error", Float32Array, "rows", "Of ‖r‖ / ‖x − b‖"),
  columnRule("typicality.norms", "typicality.norm", Float32Array, "rows", "Of ‖x‖ as posted", OPTIONAL),
  columnRule("typicality.atoms", "typicality.atoms", Float32Array, "rows", "Of the number of distinct atoms"),
  columnRule(
    "typicality.surprises",
    "typicality.surprise",
    Float32Array,
    "rows",
    "Of the mean −log rate of the active atoms: high where they are rare. Absent without statistics",
    OPTIONAL,
  ),
  // Last, because its entries are single bytes: the others stay aligned.
  columnRule("stops", "stop", Uint8Array, "rows", "What ended the row", { names: STOP_REASONS }),
];

/** One column of codes; undefined if they lack it. */
export function columnOfCodes(codes: SparseCodes, { path: [outer, inner] }: ColumnRule): CodeColumn | undefined {
  const held = codes[outer as keyof SparseCodes] as unknown;
  return (inner === undefined ? held : (held as Record<string, unknown> | undefined)?.[inner]) as
    | CodeColumn
    | undefined;
}

/** The columns present in codes, by name. */
export function columnsOfCodes(codes: SparseCodes): Map<string, CodeColumn> {
  const columns = new Map<string, CodeColumn>();
  for (const rule of CODE_COLUMNS) {
    const column = columnOfCodes(codes, rule);
    if (column !== undefined) columns.set(rule.name, column);
  }
  return columns;
}

/** The inverse. @param columnOf undefined for a column that the codes lack */
export function codesOfColumns(
  shape: Pick<SparseCodes, "count" | "width">,
  columnOf: (rule: ColumnRule) => CodeColumn | undefined,
): SparseCodes {
  const codes: Record<string, unknown> = { count: shape.count, width: shape.width };
  for (const rule of CODE_COLUMNS) {
    const column = columnOf(rule);
    if (column === undefined) continue;
    const [outer, inner] = rule.path;
    if (inner === undefined) codes[outer] = column;
    else codes[outer] = { ...(codes[outer] as object | undefined), [inner]: column };
  }
  return codes as unknown as SparseCodes;
}

/** Codes to decode: the columns of SparseCodes that a client can know. Indices may come in any order. */
export interface CodesToDecode {
  readonly count: number;
  readonly indptr: Uint32Array;
  readonly indices: Uint32Array;
  readonly values: Float32Array;
  /** Decode with the first so many atoms only: one of the dictionary's groups. Absent: all. */
  readonly group?: number;
  /** [count, d_in] the rows that were encoded; required by a transcoder with a skip. */
  readonly inputs?: Float32Array;
  /** Required when the dictionary has an input norm. */
  readonly norm?: { readonly shift: Float32Array; readonly scale: Float32Array };
}
