/** A file is not what its format says. Permanent: reading it again will not help. The message names the file. */
export class FormatError extends Error {
  override readonly name = "FormatError";
  readonly file: string;

  constructor(file: string, message: string) {
    super(`${file}: ${message}`);
    this.file = file;
  }
}
