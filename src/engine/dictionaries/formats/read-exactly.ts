import type { FileHandle } from "node:fs/promises";
import { FormatError } from "./format-error.ts";

/** `length` bytes of a file from position `from` on. @throws FormatError when it ends before them. */
export async function readExactly(handle: FileHandle, path: string, from: number, length: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(length);
  for (let at = 0; at < length;) {
    const { bytesRead } = await handle.read(bytes, at, length - at, from + at);
    if (bytesRead === 0) throw new FormatError(path, `ends at byte ${from + at}, before it should.`);
    at += bytesRead;
  }
  return bytes;
}
