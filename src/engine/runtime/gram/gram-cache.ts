import { createHash, type Hash, randomUUID } from "node:crypto";
import { type FileHandle, mkdir, open, readdir, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { endianness } from "node:os";

/** sha256, at the end of a file. */
const DIGEST_BYTES = 32;

/** Ends the names of files that are still being written. */
const DRAFT = ".draft";

/** Part of every file's name: a matrix made or laid out in another way gets another. */
const VERSION = 1;

/**
 * Gram matrices kept between starts: [m, m] float32, row by row, little-endian, then the sha256 of that. A file is
 * written under another name first, so that what stands under its own is whole; what is not is made anew.
 */
export class GramCache {
  readonly #path: string;

  /** @param sha256 of the weights that the matrix is made of */
  constructor(cacheDir: string, sha256: string) {
    this.#path = join(cacheDir, "gram", `${sha256}.${VERSION}.${endianness()}.gram`);
  }

  /** The matrix of m atoms, if it is kept and has the right size. */
  async open(m: number): Promise<GramReader | null> {
    let file: FileHandle;
    try {
      file = await open(this.#path, "r");
    } catch {
      return null;
    }
    const { size } = await file.stat();
    if (size === 4 * m * m + DIGEST_BYTES) return new GramReader(file, m);
    await file.close();
    return null;
  }

  /** @throws Error when the folder cannot be written */
  async create(m: number): Promise<GramWriter> {
    const folder = dirname(this.#path);
    await mkdir(folder, { recursive: true });
    await this.#dropDrafts(folder);
    const draft = `${this.#path}.${randomUUID()}${DRAFT}`;
    return new GramWriter(await open(draft, "wx"), draft, this.#path, m);
  }

  /** What a process that was killed left of this matrix, gigabytes perhaps. One that is still writing its own only fails to keep it. */
  async #dropDrafts(folder: string): Promise<void> {
    const own = `${basename(this.#path)}.`;
    for (const name of await readdir(folder)) {
      if (name.startsWith(own) && name.endsWith(DRAFT)) await rm(join(folder, name), { force: true });
    }
  }
}

export class GramReader {
  readonly #file: FileHandle;
  readonly #m: number;
  readonly #hash: Hash = createHash("sha256");

  constructor(file: FileHandle, m: number) {
    this.#file = file;
    this.#m = m;
  }

  /** The next rows: [count, m]. @throws Error when the file ends early */
  async read(count: number): Promise<Float32Array> {
    const rows = new Float32Array(count * this.#m);
    const bytes = new Uint8Array(rows.buffer);
    await this.#fill(bytes);
    this.#hash.update(bytes);
    return rows;
  }

  /** After the last row. @throws Error when what was read is not what was written */
  async verify(): Promise<void> {
    const written = new Uint8Array(DIGEST_BYTES);
    await this.#fill(written);
    if (!this.#hash.digest().equals(written)) throw new Error("its checksum does not fit");
  }

  close(): Promise<void> {
    return this.#file.close();
  }

  async #fill(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      const { bytesRead } = await this.#file.read(bytes, at, bytes.length - at);
      if (bytesRead === 0) throw new Error("it ends early");
      at += bytesRead;
    }
  }
}

export class GramWriter {
  readonly #file: FileHandle;
  readonly #draft: string;
  readonly #path: string;
  readonly #rowBytes: number;
  readonly #hash: Hash = createHash("sha256");

  constructor(file: FileHandle, draft: string, path: string, m: number) {
    this.#file = file;
    this.#draft = draft;
    this.#path = path;
    this.#rowBytes = 4 * m;
  }

  /** The next rows. */
  async write(rows: Float32Array): Promise<void> {
    const bytes = new Uint8Array(rows.buffer, rows.byteOffset, rows.byteLength);
    if (bytes.length % this.#rowBytes !== 0) throw new Error("a part of a row");
    this.#hash.update(bytes);
    await this.#file.writeFile(bytes);
  }

  /** After the last row: from now on the file is there for the next start. */
  async finish(): Promise<void> {
    await this.#file.writeFile(this.#hash.digest());
    await this.#file.sync();
    await this.#file.close();
    await rename(this.#draft, this.#path);
  }

  async discard(): Promise<void> {
    await this.#file.close().catch(() => {});
    await rm(this.#draft, { force: true });
  }
}
