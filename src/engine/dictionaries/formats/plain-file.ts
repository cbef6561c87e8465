import { freemem } from "node:os";
import { MAX_FLOATS } from "../../core/float-formats.ts";
import { type FileHandle, open, stat } from "node:fs/promises";
import { FormatError } from "./format-error.ts";
import { refuseStandIn, STAND_IN_BYTES } from "./stand-in.ts";

/**
 * Opens a file for reading, if it is a plain one and not a stand-in for another.
 * @returns the open file and its size in bytes
 * @throws FormatError; the system's error when it cannot be opened
 */
export async function openPlainFile(path: string): Promise<{ readonly handle: FileHandle; readonly size: number }> {
  // Before it is opened: a pipe would be waited for.
  if (!(await stat(path)).isFile()) throw new FormatError(path, "is not a plain file.");
  const handle = await open(path, "r");
  try {
    const { size } = await handle.stat();
    refuseStandIn(path, await readExactly(handle, path, 0, Math.min(size, STAND_IN_BYTES)));
    return { handle, size };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** Checks what {@link openPlainFile} checks, for a library that opens the file itself. @throws as it does */
export async function checkPlainFile(path: string): Promise<void> {
  const { handle } = await openPlainFile(path);
  await handle.close();
}

/** Whether something is at a path, whatever it is. */
export const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

/** `length` bytes of a file from position `from` on. @throws FormatError when it ends before them. */
export function readExactly(handle: FileHandle, path: string, from: number, length: number): Promise<Buffer> {
  return fillExactly(handle, path, from, Buffer.allocUnsafe(length));
}

/** Fills `into` with the bytes of a file from position `from` on. @returns it @throws FormatError when the file ends before */
export async function fillExactly<T extends Uint8Array>(
  handle: FileHandle,
  path: string,
  from: number,
  into: T,
): Promise<T> {
  for (let at = 0; at < into.length;) {
    const { bytesRead } = await handle.read(into, at, into.length - at, from + at);
    if (bytesRead === 0) throw new FormatError(path, `ends at byte ${from + at}, before it should.`);
    at += bytesRead;
  }
  return into;
}

const gib = (bytes: number): string => (bytes / 2 ** 30).toFixed(1);

/**
 * Allocates an array for a tensor's numbers.
 * @throws FormatError with the bytes that it takes and those that there are, where Node or the system has no room for it
 */
export function floatArray(path: string, what: string, count: number): Float32Array {
  if (count <= MAX_FLOATS) {
    try {
      return new Float32Array(count);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
    }
  }
  throw new FormatError(
    path,
    `${what} takes ${gib(4 * count)} GiB as float32; one may take ${gib(4 * MAX_FLOATS)} GiB, and ${gib(freemem())} GiB of memory are free. ` +
      "Choose a narrower dictionary, or a machine with more memory.",
  );
}
