import { read } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { pipeline, Readable } from "node:stream";
import { crc32, createInflateRaw } from "node:zlib";
import { type Entry, fromRandomAccessReaderPromise, RandomAccessReader, type ZipFile } from "yauzl";
import { FormatError } from "./format-error.ts";
import { readExactly } from "./plain-file.ts";

/** Node 20 makes no larger array of bytes. */
const MAX_MEMBER_BYTES = 2 ** 32;

/** Trained weights hardly shrink; Gemma Scope's, of which many are zero, do to a sixth. */
const MAX_INFLATION = 20;

/** Stored members are read in pieces of this many bytes, 16 times as many as those of yauzl's streams. */
const READ_BYTES = 1 << 20;

/** A format whose files are zips. */
interface ZipFormat {
  /** For messages, such as ".npz". */
  readonly format: string;
  readonly maxMembers: number;
  /** Whether a CRC-32 of 0 means that the writer computed none; default false. */
  readonly mayLackChecksums?: boolean;
}

/** A file inside a zip, as the zip's directory describes it. */
export interface ZipMember {
  readonly name: string;
  /** Bytes of the content, unpacked. */
  readonly size: number;
  /** Whether the content lies in the zip as it is, not deflated. */
  readonly stored: boolean;
}

/**
 * A zip of unknown origin, opened for random access; zip64 included. Sizes in its directory limit what is unpacked, and
 * every content that is read to its end is checked against the directory's CRC-32, which yauzl does not do.
 */
export class ZipArchive {
  readonly path: string;
  readonly members: readonly ZipMember[];
  readonly #reader: BoundedReader;
  readonly #zip: ZipFile;
  readonly #entries: ReadonlyMap<ZipMember, Entry>;
  readonly #format: string;
  readonly #mayLackChecksums: boolean;

  private constructor(
    path: string,
    { format, mayLackChecksums = false }: ZipFormat,
    reader: BoundedReader,
    zip: ZipFile,
    entries: readonly Entry[],
  ) {
    this.path = path;
    this.#mayLackChecksums = mayLackChecksums;
    this.#reader = reader;
    this.#format = format;
    this.#zip = zip;
    this.#entries = new Map(
      entries.map((entry) => [
        { name: entry.fileName, size: entry.uncompressedSize, stored: entry.compressionMethod === 0 },
        entry,
      ]),
    );
    this.members = [...this.#entries.keys()];
  }

  /**
   * @param as what the zip is read as; directories that claim more than `maxMembers` are not walked
   * @throws FormatError; the system's error when the file cannot be read
   */
  static async open(path: string, as: ZipFormat): Promise<ZipArchive> {
    const { format, maxMembers } = as;
    const handle = await open(path, "r");
    try {
      const { size } = await handle.stat();
      // The handle closes the file: yauzl's own close() is never called.
      const reader = new BoundedReader(handle, path, size);
      const zip = await fromRandomAccessReaderPromise(reader, size, { lazyEntries: true }).catch((error: unknown) => {
        throw unsound(path, format, error);
      });
      if (zip.entryCount > maxMembers) {
        throw new FormatError(path, `claims to hold ${zip.entryCount} files; the limit is ${maxMembers}.`);
      }
      const entries = await listEntries(zip).catch((error: unknown) => {
        throw unsound(path, format, error);
      });
      const names = new Set<string>();
      for (const { fileName } of entries) {
        if (names.has(fileName)) throw new FormatError(path, `holds ${JSON.stringify(fileName)} twice.`);
        names.add(fileName);
      }
      return new ZipArchive(path, as, reader, zip, entries);
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /** Refuses a large member that unpacks to far more than weights do. Call it before memory is set aside. @throws FormatError */
  checkInflation(member: ZipMember): void {
    const { compressedSize } = this.#entries.get(member)!;
    if (member.size <= MAX_MEMBER_BYTES || member.size <= MAX_INFLATION * compressedSize) return;
    throw new FormatError(
      this.path,
      `${member.name} claims ${member.size} bytes, packed into ${compressedSize}; over ${MAX_MEMBER_BYTES} bytes it may be packed into a ${MAX_INFLATION}th.`,
    );
  }

  /**
   * The content of a member in pieces. Reaching the end checks length and CRC-32.
   * @throws FormatError
   */
  async *read(member: ZipMember): AsyncGenerator<Buffer, void> {
    const entry = this.#entries.get(member)!;
    this.checkInflation(member);
    let length = 0;
    let crc = 0;
    try {
      for await (const chunk of this.#pieces(entry)) {
        length += chunk.length;
        if (length > member.size) throw this.#wrongSize(member, "goes on after all");
        crc = crc32(chunk, crc);
        yield chunk;
      }
    } catch (error) {
      throw error instanceof FormatError ? error : unsound(this.path, this.#format, error);
    }
    if (length < member.size) throw this.#wrongSize(member, `ends after ${length}`);
    if (crc !== entry.crc32 && !(this.#mayLackChecksums && entry.crc32 === 0)) {
      throw new FormatError(
        this.path,
        `${member.name} is damaged: its CRC-32 is ${hex(crc)}, the zip says ${hex(entry.crc32)}. Fetch the file again.`,
      );
    }
  }

  #wrongSize({ name, size }: ZipMember, what: string): FormatError {
    return new FormatError(this.path, `${name} ${what} of the ${size} bytes that the zip says.`);
  }

  async *#pieces(entry: Entry): AsyncGenerator<Buffer, void> {
    if (entry.isEncrypted()) throw new Error(`${entry.fileName} is encrypted`);
    const { fileDataStart } = await this.#zip.readLocalFileHeaderPromise(entry, { minimal: true });
    const packed = this.#reader.pieces(fileDataStart, fileDataStart + entry.compressedSize);
    if (entry.compressionMethod === 0) yield* packed;
    else if (entry.compressionMethod === 8) {
      // An error on either side ends the iteration.
      yield* pipeline(Readable.from(packed), createInflateRaw(), () => {}) as AsyncIterable<Buffer>;
    } else throw new Error(`${entry.fileName} is compressed by method ${entry.compressionMethod}`);
  }

  /**
   * The first `length` bytes of a member, or all of it where it is shorter.
   * @throws FormatError
   */
  async readBytes(member: ZipMember, length = Infinity): Promise<Uint8Array> {
    const wanted = Math.min(length, member.size);
    if (wanted > MAX_MEMBER_BYTES) {
      throw new FormatError(this.path, `${member.name} claims ${wanted} bytes; the limit is ${MAX_MEMBER_BYTES}.`);
    }
    const bytes = new Uint8Array(wanted);
    let at = 0;
    for await (const chunk of this.read(member)) {
      const part = chunk.subarray(0, wanted - at);
      bytes.set(part, at);
      at += part.length;
      if (at === wanted && wanted < member.size) break;
    }
    return bytes;
  }

  async close(): Promise<void> {
    await this.#reader.handle.close();
  }
}

/** Reads for yauzl. Positions from a hostile zip64 directory, which make fs.read throw inside yauzl, become errors. */
class BoundedReader extends RandomAccessReader {
  readonly handle: FileHandle;
  readonly #path: string;
  readonly #size: number;

  constructor(handle: FileHandle, path: string, size: number) {
    super();
    this.handle = handle;
    this.#path = path;
    this.#size = size;
  }

  override read(
    buffer: Buffer,
    offset: number,
    length: number,
    position: number,
    callback: (error: Error | null) => void,
  ): void {
    if (!this.#holds(position, length)) {
      setImmediate(callback, this.#outside(position));
      return;
    }
    read(this.handle.fd, buffer, offset, length, position, (error, bytesRead) => {
      callback(error ?? (bytesRead < length ? this.#outside(position + bytesRead) : null));
    });
  }

  /** Bytes [start, end) of the file. */
  async *pieces(start: number, end: number): AsyncGenerator<Buffer, void> {
    if (!this.#holds(start, end - start)) throw this.#outside(end);
    for (let at = start; at < end; at += READ_BYTES) {
      yield await readExactly(this.handle, this.#path, at, Math.min(READ_BYTES, end - at));
    }
  }

  #holds(position: number, length: number): boolean {
    return position >= 0 && length >= 0 && position + length <= this.#size;
  }

  #outside(position: number): Error {
    return new Error(`its directory points to byte ${position} of ${this.#size}`);
  }
}

function listEntries(zip: ZipFile): Promise<readonly Entry[]> {
  return new Promise((resolve, reject) => {
    const entries: Entry[] = [];
    zip.on("entry", (entry: Entry) => {
      entries.push(entry);
      zip.readEntry();
    });
    zip.once("end", () => resolve(entries));
    zip.once("error", reject);
    zip.readEntry();
  });
}

const hex = (crc: number): string => crc.toString(16).padStart(8, "0");

const unsound = (path: string, format: string, error: unknown): FormatError =>
  new FormatError(path, `is not a valid ${format} file (${error instanceof Error ? error.message : String(error)}).`);
