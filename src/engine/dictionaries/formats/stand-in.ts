import { FormatError } from "./format-error.ts";

/** Bytes of a file's start that {@link refuseStandIn} looks at. */
export const STAND_IN_BYTES = 64;

/**
 * Refuses a file that stands for another: a git-lfs pointer, a page saved instead of the file, a gzip archive.
 * @param head the file's first bytes, {@link STAND_IN_BYTES} or more
 * @throws FormatError that says how to get the file itself
 */
export function refuseStandIn(file: string, head: Uint8Array): void {
  const start = Buffer.from(head.buffer, head.byteOffset, Math.min(head.byteLength, STAND_IN_BYTES)).toString("latin1");
  if (start.startsWith("version https://git-lfs.github.com/spec/")) {
    throw new FormatError(
      file,
      'is a git-lfs pointer, not the file itself. Run "git lfs pull" in its repository, or download the file.',
    );
  }
  if (/^\s*<(?:!doctype html|html)\b/i.test(start)) {
    throw new FormatError(
      file,
      'is a web page, not the file itself. Download the file (on Hugging Face: its "download" link, …/resolve/…).',
    );
  }
  if (start.startsWith("\u001F\u008B")) {
    throw new FormatError(file, 'is compressed with gzip. Unpack it first: "gunzip".');
  }
}
