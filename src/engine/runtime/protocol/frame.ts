/**
 * Frames between the server and a runtime process, over a Unix socket pair (decision 0002).
 *
 *     bytes 0–3    magic "PRT1"
 *     bytes 4–7    header length, u32 little-endian
 *     bytes 8–11   body length, u32 little-endian
 *     header       UTF-8 JSON: {"head": …, "columns": [[name, type, elements], …]}
 *     body         the columns in that order, each starting at a multiple of 8
 *
 * Numbers never pass through JSON. A column is written from its own memory and read as a view of the body, whose
 * ArrayBuffer can be transferred to another thread. The socket makes the only copy on each side.
 */

const MAGIC = 0x31545250;
const PREFIX_BYTES = 12;

/** A header holds settings and names; a megabyte means that the peer has lost its place in the stream. */
const MAX_HEADER_BYTES = 1 << 20;

/** 16,384 rows of 8,192 floats are 512 MiB; no batch has twice that. */
const MAX_BODY_BYTES = 1 << 30;

const COLUMN_TYPES = {
  f32: Float32Array,
  f64: Float64Array,
  i32: Int32Array,
  u32: Uint32Array,
  u8: Uint8Array,
} as const;

type ColumnType = keyof typeof COLUMN_TYPES;

/** Arrays that a frame may carry. */
export type Column = Float32Array | Float64Array | Int32Array | Uint32Array | Uint8Array;
export type Columns = Readonly<Record<string, Column>>;

/** Columns to write. An array of pieces is written as one column, without joining them first. */
export type OutgoingColumns = Readonly<Record<string, Column | readonly Column[]>>;

/** A received frame. The columns are views of `body`. */
export interface Frame {
  readonly head: unknown;
  readonly columns: Columns;
  readonly body: ArrayBuffer;
}

/** The peer broke the framing: the rest of the stream cannot be trusted. */
export class FrameError extends Error {
  override readonly name = "FrameError";
}

const align8 = (bytes: number): number => (bytes + 7) & ~7;

function typeOf(column: Column): ColumnType {
  for (const [type, constructor] of Object.entries(COLUMN_TYPES)) {
    if (column instanceof constructor) return type as ColumnType;
  }
  throw new FrameError("a column is none of the array types that a frame carries");
}

const padding = new Uint8Array(8);

/**
 * Returns one frame as chunks to write, in order. They reference the columns' memory, which must not change until they
 * are written.
 */
export function frameChunks(head: unknown, columns: OutgoingColumns = {}): Uint8Array[] {
  const table: [string, ColumnType, number][] = [];
  const body: Uint8Array[] = [];
  let bodyBytes = 0;
  for (const [name, column] of Object.entries(columns)) {
    const pieces = Array.isArray(column) ? (column as readonly Column[]) : [column as Column];
    const [first] = pieces;
    if (first === undefined) throw new FrameError(`column ${name} has no piece, not even an empty one`);
    let bytes = 0;
    for (const piece of pieces) {
      body.push(new Uint8Array(piece.buffer, piece.byteOffset, piece.byteLength));
      bytes += piece.byteLength;
    }
    table.push([name, typeOf(first), bytes / first.BYTES_PER_ELEMENT]);
    const padded = align8(bytes);
    if (padded > bytes) body.push(padding.subarray(0, padded - bytes));
    bodyBytes += padded;
  }
  if (bodyBytes > MAX_BODY_BYTES) {
    throw new FrameError(`a frame of ${bodyBytes} bytes is over the limit of ${MAX_BODY_BYTES}`);
  }
  const header = Buffer.from(JSON.stringify({ head, columns: table }));
  const prefix = Buffer.allocUnsafe(PREFIX_BYTES);
  prefix.writeUInt32LE(MAGIC, 0);
  prefix.writeUInt32LE(header.length, 4);
  prefix.writeUInt32LE(bodyBytes, 8);
  return [Buffer.concat([prefix, header]), ...body];
}

function readColumns(table: readonly (readonly [string, ColumnType, number])[], body: ArrayBuffer): Columns {
  const columns: Record<string, Column> = {};
  let offset = 0;
  for (const [name, type, elements] of table) {
    const constructor = COLUMN_TYPES[type];
    const bytes = elements * constructor.BYTES_PER_ELEMENT;
    if (offset + bytes > body.byteLength) throw new FrameError(`column ${name} ends beyond its frame`);
    columns[name] = new constructor(body, offset, elements);
    offset += align8(bytes);
  }
  return columns;
}

/** Cuts a byte stream into frames. Feed it chunks as they arrive; it calls back for each whole frame, in order. */
export class FrameReader {
  readonly #onFrame: (frame: Frame) => void;
  readonly #prefix = Buffer.alloc(PREFIX_BYTES);
  #header: Buffer | null = null;
  #body: Uint8Array<ArrayBuffer> | null = null;
  /** Bytes already in the part being filled: prefix, then header, then body. */
  #filled = 0;

  constructor(onFrame: (frame: Frame) => void) {
    this.#onFrame = onFrame;
  }

  /** @throws FrameError when the bytes are no frame; the stream is unusable afterwards */
  push(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length) {
      const part = this.#body ?? this.#header ?? this.#prefix;
      const take = Math.min(part.length - this.#filled, chunk.length - at);
      part.set(chunk.subarray(at, at + take), this.#filled);
      this.#filled += take;
      at += take;
      // A body may be empty, so filling the header can complete two parts at once.
      while (this.#filled === (this.#body ?? this.#header ?? this.#prefix).length && this.#advance());
    }
  }

  /** Whether the stream ended between two frames. */
  get idle(): boolean {
    return this.#header === null && this.#filled === 0;
  }

  /** Goes to the part after a filled one. @returns false once a frame was completed and delivered */
  #advance(): boolean {
    this.#filled = 0;
    if (this.#header === null) {
      if (this.#prefix.readUInt32LE(0) !== MAGIC) throw new FrameError("the stream holds no frame at this point");
      const headerBytes = this.#prefix.readUInt32LE(4);
      const bodyBytes = this.#prefix.readUInt32LE(8);
      if (headerBytes === 0 || headerBytes > MAX_HEADER_BYTES || bodyBytes > MAX_BODY_BYTES) {
        throw new FrameError(`a frame claims ${headerBytes} header and ${bodyBytes} body bytes`);
      }
      this.#header = Buffer.allocUnsafe(headerBytes);
      return true;
    }
    if (this.#body === null) {
      this.#body = new Uint8Array(this.#prefix.readUInt32LE(8));
      return true;
    }
    const { head, columns } = JSON.parse(this.#header.toString("utf8")) as {
      head: unknown;
      columns: [string, ColumnType, number][];
    };
    const body = this.#body.buffer;
    this.#header = null;
    this.#body = null;
    this.#onFrame({ head, columns: readColumns(columns, body), body });
    return false;
  }
}
