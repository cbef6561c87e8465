import { FormatError } from "../formats/format-error.ts";

/** @throws FormatError where a tensor is absent or of another shape. */
export function expectShape(
  file: string,
  found: readonly number[] | undefined,
  name: string,
  shape: readonly number[],
): void {
  if (found?.join() === shape.join()) return;
  throw new FormatError(
    file,
    found ? `${name} is [${found.join(", ")}]; [${shape.join(", ")}] was due.` : `holds no tensor ${name}.`,
  );
}
