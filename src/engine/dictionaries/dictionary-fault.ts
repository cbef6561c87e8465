/** A dictionary folder is broken. All faults found, a sentence each. */
export class DictionaryFault extends Error {
  override readonly name = "DictionaryFault";
  readonly faults: readonly string[];

  constructor(faults: readonly string[]) {
    super(faults.join(" "));
    this.faults = faults;
  }
}
