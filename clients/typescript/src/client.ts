import { Codes } from "./codes.ts";
import { type Call, type CallOptions, type ClientOptions, Connection } from "./connection.ts";
import { codesOfLines, type Line, type LineAnswer, linesOf } from "./lines.ts";
import { bytesOf, listsOf, type Matrix, type RowsLike, slice, toMatrix } from "./rows.ts";
import { readSafetensors, type Safetensors } from "./safetensors.ts";
import type {
  ContrastAnswer,
  ContrastRequest,
  CsrCodes,
  DecodedRows,
  DecodeRequest,
  DenseCodes,
  Dictionaries,
  Dictionary,
  EncodeRequest,
  Examples,
  Feature,
  FeaturePage,
  FeatureSearch,
  FoundFeatures,
  Health,
  MapCodes,
  operations,
  PersonLabel,
  SparseCodes,
  SteeredRows,
  SteerRequest,
  TransferredRows,
  TransferRequest,
} from "./schema.ts";
import { SteeringSets, type WriteOptions } from "./steering-sets.ts";

/** The fields of an encode request beside its rows, named as on the wire. */
export type EncodeOptions = CallOptions & Omit<EncodeRequest, "inputs" | "targets" | "format">;

/** The answer of each format. */
export interface FormatAnswers {
  readonly sparse: SparseCodes;
  readonly csr: CsrCodes;
  readonly dense: DenseCodes;
  readonly map: MapCodes;
}

/** Rows of one request, and requests at work at once. */
const ROWS_AT_ONCE = 4096;
const AT_WORK = 4;

/**
 * Client of one server. Every call throws a {@link PursuitError} with the server's code and detail, and waits where the
 * server is busy.
 */
export class PursuitClient {
  readonly steeringSets: SteeringSets;
  readonly #connection: Connection;

  /** @param url of the server, such as http://127.0.0.1:8080; it may have a path */
  constructor(url: string, options: ClientOptions = {}) {
    this.#connection = new Connection(url, options);
    this.steeringSets = new SteeringSets(this.#connection);
  }

  /**
   * Encodes any number of rows: they are sent as bytes, in several requests where they are many, and answered in order.
   * @throws RangeError for rows of several lengths
   */
  async encode(dictionary: string, rows: RowsLike, options: EncodeOptions = {}): Promise<Codes> {
    const matrix = toMatrix(rows);
    const count = matrix.shape[0];
    const starts = Array.from({ length: Math.max(1, Math.ceil(count / ROWS_AT_ONCE)) }, (_, i) => i * ROWS_AT_ONCE);
    const parts = await inTurn(starts, (start) => {
      const end = Math.min(count, start + ROWS_AT_ONCE);
      const { budget } = options;
      const own = Array.isArray(budget) ? { ...options, budget: budget.slice(start, end) } : options;
      return this.#encodePart(dictionary, slice(matrix, start, end), own);
    });
    return new Codes(parts);
  }

  async #encodePart(dictionary: string, rows: Matrix, options: EncodeOptions): Promise<Safetensors> {
    const { signal, ...fields } = options;
    const call = {
      method: "POST",
      path: `/v1/dictionaries/${encodeURIComponent(dictionary)}/encode`,
      accept: "application/vnd.safetensors",
      ...(signal && { signal }),
    } as const;
    // A list of budgets does not fit into a URL.
    const body: Call = Array.isArray(fields.budget)
      ? { ...call, body: { inputs: listsOf(rows), ...fields } satisfies EncodeRequest }
      : { ...call, body: bytesOf(rows), contentType: "application/octet-stream", query: queryOf(rows, fields) };
    return readSafetensors(await this.#connection.bytes(body));
  }

  /** Encodes the rows of one request, and gives the JSON answer of its format as it is. */
  encodeAs<F extends keyof FormatAnswers = "sparse">(
    dictionary: string,
    request: EncodeRequest & { readonly format?: F },
    options: CallOptions = {},
  ): Promise<FormatAnswers[F]> {
    return this.#post(dictionary, "encode", request, options);
  }

  /**
   * Encodes a stream of rows: its answers come while it is sent, in order. A line that is wrong is answered with its
   * error, and the next goes on. Browsers cannot send streams: use {@link encode} there.
   */
  encodeLines(
    dictionary: string,
    lines: Iterable<Line> | AsyncIterable<Line>,
    { signal, ...fields }: EncodeOptions = {},
  ): AsyncIterable<LineAnswer> {
    return codesOfLines(() =>
      this.#connection.send({
        method: "POST",
        path: `/v1/dictionaries/${encodeURIComponent(dictionary)}/encode`,
        query: queryFields(fields),
        body: linesOf(lines),
        contentType: "application/x-ndjson",
        accept: "application/x-ndjson",
        ...(signal && { signal }),
      }),
    );
  }

  /** Decodes codes, or an encode answer as it is, to rows. */
  decode(dictionary: string, codes: Codes | DecodeRequest, options: CallOptions = {}): Promise<DecodedRows> {
    const body = codes instanceof Codes ? { sha256: codes.sha256, codes: codes.toJSON() } : codes;
    return this.#post(dictionary, "decode", body, options);
  }

  /** Edits rows by their features. */
  steer(dictionary: string, request: SteerRequest, options: CallOptions = {}): Promise<SteeredRows> {
    return this.#post(dictionary, "steer", request, options);
  }

  /** Encodes rows with one dictionary and decodes them with another of as many atoms. */
  transfer(request: TransferRequest, { signal }: CallOptions = {}): Promise<TransferredRows> {
    return this.#connection.json({ method: "POST", path: "/v1/transfer", body: request, ...(signal && { signal }) });
  }

  /** Features that tell two sets of rows or codes apart, best first. */
  contrast(dictionary: string, request: ContrastRequest, options: CallOptions = {}): Promise<ContrastAnswer> {
    return this.#post(dictionary, "contrast", request, options);
  }

  async dictionaries(options: CallOptions = {}): Promise<Dictionaries["dictionaries"]> {
    const { dictionaries } = await this.#get<Dictionaries>("/v1/dictionaries", options);
    return dictionaries;
  }

  dictionary(id: string, options: CallOptions = {}): Promise<Dictionary> {
    return this.#get(`/v1/dictionaries/${encodeURIComponent(id)}`, options);
  }

  /** Features page by page, or those that match the query's words. */
  features(dictionary: string, { signal, ...query }: FeatureQuery & CallOptions = {}): Promise<FeaturePage> {
    const path = `/v1/dictionaries/${encodeURIComponent(dictionary)}/features`;
    return this.#get(path, { ...(signal && { signal }) }, query);
  }

  /** Features nearest to one row, or that match words. */
  findFeatures(dictionary: string, search: FeatureSearch, options: CallOptions = {}): Promise<FoundFeatures> {
    return this.#post(dictionary, "features/search", search, options);
  }

  /** Rows to try, with their texts. */
  examples(dictionary: string, options: CallOptions = {}): Promise<Examples> {
    return this.#get(`/v1/dictionaries/${encodeURIComponent(dictionary)}/examples`, options);
  }

  /** Coordinates of all atoms, [m, 2]. */
  async map(dictionary: string, { signal }: CallOptions = {}): Promise<Float32Array> {
    const path = `/v1/dictionaries/${encodeURIComponent(dictionary)}/map`;
    const call = { method: "GET", path, accept: "application/octet-stream", ...(signal && { signal }) } as const;
    return new Float32Array(await this.#connection.bytes(call));
  }

  feature(dictionary: string, index: number, options: CallOptions = {}): Promise<Feature> {
    return this.#get(`/v1/dictionaries/${encodeURIComponent(dictionary)}/features/${index}`, options);
  }

  /** The label that a person wrote. @throws PursuitError 404 where there is none */
  label(dictionary: string, index: number, options: CallOptions = {}): Promise<PersonLabel> {
    return this.#get(labelPath(dictionary, index), options);
  }

  /** Writes a person's label of a feature. */
  putLabel(
    dictionary: string,
    index: number,
    label: string,
    { signal, ifMatch }: WriteOptions = {},
  ): Promise<PersonLabel> {
    return this.#connection.json({
      method: "PUT",
      path: labelPath(dictionary, index),
      body: { label },
      ...(ifMatch !== undefined && { headers: { "if-match": ifMatch } }),
      repeatable: false,
      ...(signal && { signal }),
    });
  }

  async deleteLabel(dictionary: string, index: number, { signal, ifMatch }: WriteOptions = {}): Promise<void> {
    await this.#connection.send({
      method: "DELETE",
      path: labelPath(dictionary, index),
      ...(ifMatch !== undefined && { headers: { "if-match": ifMatch } }),
      repeatable: false,
      ...(signal && { signal }),
    });
  }

  /** Whether every dictionary answers. @throws PursuitError 503 where one does not */
  ready(options: CallOptions = {}): Promise<Health> {
    return this.#get("/health/ready", options);
  }

  #get<T>(path: string, { signal }: CallOptions, query: NonNullable<Call["query"]> = {}): Promise<T> {
    return this.#connection.json({ method: "GET", path, query, ...(signal && { signal }) });
  }

  #post<T>(dictionary: string, verb: string, body: object, { signal }: CallOptions): Promise<T> {
    const path = `/v1/dictionaries/${encodeURIComponent(dictionary)}/${verb}`;
    return this.#connection.json({ method: "POST", path, body, ...(signal && { signal }) });
  }
}

const labelPath = (dictionary: string, index: number): string =>
  `/v1/dictionaries/${encodeURIComponent(dictionary)}/features/${index}/label`;

export type FeatureQuery = NonNullable<operations["searchFeatures"]["parameters"]["query"]>;

/** The query of a body of bytes. */
const queryOf = (
  { data, shape: [rows] }: Matrix,
  fields: Omit<EncodeOptions, "signal">,
): NonNullable<Call["query"]> => ({
  rows,
  dtype: data instanceof Float64Array ? "float64" : "float32",
  ...queryFields(fields),
});

const queryFields = ({
  budget,
  encoder,
  include,
  ...fields
}: Omit<EncodeOptions, "signal">): NonNullable<Call["query"]> => ({
  ...fields,
  ...(budget !== undefined && { budget: JSON.stringify(budget) }),
  ...(encoder !== undefined && { encoder: typeof encoder === "string" ? encoder : JSON.stringify(encoder) }),
  ...(include !== undefined && { include: include.join(",") }),
});

/** Results of the work in its order, a few of it at once. The first failure ends it. */
async function inTurn<T, R>(work: readonly T[], run: (one: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < work.length) {
      const at = next++;
      try {
        results[at] = await run(work[at]!);
      } catch (error) {
        next = work.length;
        throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: AT_WORK }, worker));
  return results;
}
