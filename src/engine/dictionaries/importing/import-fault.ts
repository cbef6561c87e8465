/** What was given cannot be imported as it is. One sentence per reason: what, where, what to do. */
export class ImportFault extends Error {
  override readonly name = "ImportFault";
  readonly faults: readonly string[];

  constructor(faults: readonly string[]) {
    super(faults.join("\n"));
    this.faults = faults;
  }
}
