import type { RowPool } from "./row-pool.ts";

/** How a request is written and its answer asked for. */
export const CODECS = ["json", "base64", "octets"] as const;
export type Codec = (typeof CODECS)[number];

/** In words, for tables. */
export const CODEC_NAMES: Readonly<Record<Codec, string>> = {
  json: "JSON → JSON",
  base64: "base64 in JSON → JSON",
  octets: "octet-stream → msgpack",
};

export interface Budget {
  readonly max_atoms?: number;
  readonly tolerance?: number;
}

export interface Options {
  readonly budget: Budget;
  readonly on_overload?: "degrade";
  readonly include?: readonly "trace"[];
}

interface Written {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/** Requests of one kind, each written once for all connections that send it: there are no more than rows in the pool. */
export class WrittenOnce {
  /** By the place of their first row. */
  readonly #written = new Map<number, Written>();

  of(from: number, write: () => Written): Written {
    let written = this.#written.get(from);
    if (written === undefined) this.#written.set(from, (written = write()));
    return written;
  }
}

/** An encode request for these rows of the pool. */
export function writeRequest(pool: RowPool, rows: readonly number[], codec: Codec, options: Options): Written {
  const path = `/v1/dictionaries/${pool.id}/encode`;
  if (codec === "octets") {
    const { budget, ...rest } = options;
    const query = new URLSearchParams({ dtype: "float32", rows: String(rows.length) });
    for (const [name, value] of Object.entries({ ...budget, ...rest })) query.set(name, String(value));
    const headers = { "content-type": "application/octet-stream", accept: "application/msgpack" };
    return { path: `${path}?${query.toString()}`, headers, body: bytesOf(pool, rows) };
  }
  const headers = { "content-type": "application/json" };
  const inputs =
    codec === "json"
      ? `[${rows.map((i) => pool.text(i)).join(",")}]`
      : JSON.stringify({
          data: bytesOf(pool, rows).toString("base64"),
          dtype: "float32",
          shape: [rows.length, pool.weights.d],
        });
  return { path, headers, body: Buffer.from(`{"inputs":${inputs},${JSON.stringify(options).slice(1)}`) };
}

function bytesOf(pool: RowPool, rows: readonly number[]): Buffer {
  const parts = rows.map((i) => pool.row(i));
  return Buffer.concat(parts.map(({ buffer, byteOffset, byteLength }) => Buffer.from(buffer, byteOffset, byteLength)));
}
