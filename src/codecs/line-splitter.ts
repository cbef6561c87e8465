const NEWLINE = 0x0a;

/** Bytes that a line takes beside its own, as an object. */
const PER_LINE = 128;

/** Consecutive lines, without their ends, joined by newlines. */
export interface LineGroup {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Number of the first, counted from 1. */
  readonly firstLine: number;
  readonly lines: number;
  /** Numbers of lines that were longer than any may be: dropped as they came, and empty here. */
  readonly tooLong: readonly number[];
}

export interface LineLimits {
  /** Bytes of one line at most. */
  readonly maxLine: number;
  /** Bytes and lines from which a group is full. */
  readonly groupBytes: number;
  readonly groupLines: number;
}

/** Chunks in, groups of whole lines out. Holds a group and a line at most, whatever is pushed between two takes. */
export class LineSplitter {
  readonly #limits: LineLimits;
  /** Whole lines that wait, views of the chunks that they came in. */
  #lines: Uint8Array[] = [];
  #bytes = 0;
  #tooLong: number[] = [];
  /** The beginning of a line whose end has not come. */
  #partial: Uint8Array[] = [];
  #partialBytes = 0;
  #skipping = false;
  #taken = 0;

  constructor(limits: LineLimits) {
    this.#limits = limits;
  }

  /** Lines that wait to be taken. */
  get pending(): number {
    return this.#lines.length;
  }

  /** Bytes of memory that it holds, about. */
  get heldBytes(): number {
    return this.#bytes + this.#partialBytes + PER_LINE * (this.#lines.length + this.#partial.length);
  }

  get full(): boolean {
    return this.#bytes >= this.#limits.groupBytes || this.#lines.length >= this.#limits.groupLines;
  }

  push(chunk: Uint8Array): void {
    let from = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, from)) {
      this.#extend(chunk.subarray(from, end));
      this.#close();
      from = end + 1;
    }
    if (from < chunk.length) this.#extend(chunk.subarray(from));
  }

  /** No more will come: what was begun is a line too. */
  end(): void {
    if (this.#partialBytes > 0 || this.#skipping) this.#close();
  }

  /** The lines that wait, up to a full group; null where none does. */
  take(): LineGroup | null {
    const { groupBytes, groupLines } = this.#limits;
    let count = 0;
    let length = 0;
    while (count < this.#lines.length && count < groupLines && length < groupBytes) {
      length += this.#lines[count]!.length + 1;
      count++;
    }
    if (count === 0) return null;
    const lines = this.#lines.splice(0, count);
    const bytes = new Uint8Array(length);
    let at = 0;
    for (const line of lines) {
      bytes.set(line, at);
      at += line.length;
      bytes[at++] = NEWLINE;
    }
    this.#bytes -= length - count;
    const firstLine = this.#taken + 1;
    this.#taken += count;
    const last = this.#taken;
    const tooLong = this.#tooLong.filter((line) => line <= last);
    this.#tooLong = this.#tooLong.filter((line) => line > last);
    return { bytes, firstLine, lines: count, tooLong };
  }

  #extend(part: Uint8Array): void {
    if (this.#skipping) return;
    this.#partial.push(part);
    this.#partialBytes += part.length;
    if (this.#partialBytes <= this.#limits.maxLine) return;
    this.#skipping = true;
    this.#partial = [];
    this.#partialBytes = 0;
  }

  #close(): void {
    const line = this.#partial.length === 1 ? this.#partial[0]! : Buffer.concat(this.#partial);
    if (this.#skipping) this.#tooLong.push(this.#taken + this.#lines.length + 1);
    this.#lines.push(line);
    this.#bytes += line.length;
    this.#partial = [];
    this.#partialBytes = 0;
    this.#skipping = false;
  }
}
