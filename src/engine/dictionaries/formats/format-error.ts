/** A file is not what its format says. Permanent: reading it again will not help. The message names the file. */
export class FormatError extends Error {
  override readonly name = "FormatError";
  readonly file: string;
  /** The message without the file's name. */
  readonly reason: string;

  constructor(file: string, reason: string) {
    super(`${file}: ${reason}`);
    this.file = file;
    this.reason = reason;
  }
}
