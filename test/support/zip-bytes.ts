import { crc32 } from "node:zlib";

/** A file in a zip. */
export interface ZipFileOf {
  readonly name: string;
  readonly bytes: Uint8Array;
  /** Default: the CRC of the bytes. */
  readonly crc?: number;
  /** Compression method: 0 stored, 8 deflated. `bytes` are written unchanged. */
  readonly method?: number;
  /** Size that the directory claims; default: that of the bytes. */
  readonly size?: number;
}

/** Builds a zip whose directory may lie, independently of the reader. */
export function zipBytes(files: readonly ZipFileOf[]): Buffer {
  const locals: Buffer[] = [];
  const directory: Buffer[] = [];
  let at = 0;
  for (const { name, bytes, method = 0, crc = crc32(bytes), size = bytes.length } of files) {
    const text = Buffer.from(name);
    const local = Buffer.alloc(30);
    local.writeUInt32LE(0x04034b50);
    local.writeUInt16LE(text.length, 26);
    const entry = Buffer.alloc(46);
    entry.writeUInt32LE(0x02014b50);
    entry.writeUInt16LE(method, 10);
    entry.writeUInt32LE(crc, 16);
    entry.writeUInt32LE(bytes.length, 20);
    entry.writeUInt32LE(size, 24);
    entry.writeUInt16LE(text.length, 28);
    entry.writeUInt32LE(at, 42);
    locals.push(local, text, Buffer.from(bytes));
    directory.push(entry, text);
    at += local.length + text.length + bytes.length;
  }
  const central = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50);
  end.writeUInt16LE(files.length, 8);
  end.writeUInt16LE(files.length, 10);
  end.writeUInt32LE(central.length, 12);
  end.writeUInt32LE(at, 16);
  return Buffer.concat([...locals, central, end]);
}
