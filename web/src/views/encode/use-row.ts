import { signal } from "@preact/signals";
import { useMemo } from "preact/hooks";
import { type Answer, useAnswer } from "../../api/answer.ts";
import { type Example, loadExamples } from "../../api/examples.ts";
import type { RowSource } from "../../api/snippets.ts";
import type { Dictionary } from "../../api/types.ts";
import { answers } from "../../app/dictionaries.ts";
import type { RowsFile } from "../../rows/read-file.ts";
import { rowFromText } from "../../rows/row-text.ts";

/** A file that was dropped on the page, until the page is closed. */
export const droppedFile = signal<RowsFile | null>(null);

/** A row too long for an address. */
export const pastedRow = signal<Float32Array | null>(null);

/** A row to encode, by the `x` of the address: e3 (an example), f12 (of the dropped file), p… (numbers). */
export interface ChosenRow extends RowSource {
  /** The parameter that names it. */
  readonly x: string;
  readonly title: string;
}

/** Example 0 where the address names no row. */
export const FIRST_ROW = "e0";

export const useExamples = (dictionary: Dictionary | undefined): Answer<readonly Example[]> =>
  useAnswer(dictionary && answers(dictionary) ? `examples ${dictionary.id} ${dictionary.sha256}` : null, (aborted) =>
    loadExamples(dictionary!.id, aborted),
  );

/** The row that an address names; a sentence where it cannot be shown. */
export function useRow(x: string, examples: readonly Example[] | undefined): ChosenRow | string | null {
  const file = droppedFile.value;
  const pasted = pastedRow.value;
  return useMemo(() => {
    const index = Number(x.slice(1));
    if (x.startsWith("e")) {
      if (examples === undefined) return null;
      const example = examples[index];
      if (example === undefined)
        return examples.length === 0
          ? "This dictionary has no examples. Paste the numbers of a row, or drop a file of rows."
          : `There is no example ${index + 1}.`;
      return { x, title: example.text, row: example.row };
    }
    if (x.startsWith("f")) {
      if (file === null) return `This is row ${index + 1} of a file that is not on this page. Drop the file again.`;
      if (!(index < file.count)) return `${file.name} has ${file.count} rows.`;
      const row = file.data.subarray(index * file.width, (index + 1) * file.width);
      return { x, title: `Row ${index + 1} of ${file.name}`, row, file: { name: file.name, index } };
    }
    const row = x === "p" ? pasted : rowFromText(x.slice(1));
    if (row === null) return "The address holds no row that can be read. Paste its numbers again.";
    return { x, title: `A pasted row of ${row.length} numbers`, row };
  }, [x, examples, file, pasted]);
}
