/** What was given cannot be imported as it is. One sentence per reason: what, where, what to do. */
export class ImportFault extends Error {
  override readonly name = "ImportFault";
  readonly faults: readonly string[];

  constructor(faults: readonly string[]) {
    super(faults.join("\n"));
    this.faults = faults;
  }
}

/** Settings that neither the file nor a flag gives. */
export class MissingFlags extends ImportFault {
  /** As `FLAG_VALUES` has them. */
  readonly flags: readonly string[];

  constructor(layout: string, flags: readonly string[]) {
    super([
      `${layout} does not say how its encoder works, and nothing is guessed. Add:`,
      ...flags.map((flag) => `  ${flag}`),
    ]);
    this.flags = flags;
  }
}
