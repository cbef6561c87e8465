import { dataToRows } from "./array-data.ts";
import { NumberRows } from "./numbers/find-rows.ts";
import { checkCount, describe, invalid, type PostedRows, type RowLimits } from "./posted-rows.ts";
import { WireError } from "./codec-error.ts";

/**
 * `inputs` of a body as a Float32Array: numbers read already, nested lists of numbers, or `{data, dtype, shape}`. One pass
 * over lists checks and copies them; a JSON Schema would visit each number before that, and could not say which row and
 * column is wrong.
 * @throws WireError PURSUIT_INVALID_FIELD, PURSUIT_WRONG_WIDTH, PURSUIT_TOO_MANY_ROWS, PURSUIT_WRONG_LENGTH
 */
export function readRows(inputs: unknown, limits: RowLimits, field = "inputs"): PostedRows {
  if (inputs instanceof NumberRows) return numbersToRows(inputs, limits, field);
  if (typeof inputs === "object" && inputs !== null && !Array.isArray(inputs)) return dataToRows(inputs, limits, field);
  if (!Array.isArray(inputs))
    throw invalid(`${field} must be a list of rows, or {"data", "dtype", "shape"}; it is ${describe(inputs)}.`);
  if (inputs.length === 0) throw invalid(`${field} holds no rows.`);
  if (typeof inputs[0] === "number") throw invalid(`${field} must be a list of rows; for a single row write [[…]].`);
  const nested = Array.isArray((inputs[0] as unknown[] | undefined)?.[0]);
  const rows = nested ? flatten(inputs, field) : (inputs as unknown[]);
  checkCount(rows.length, limits, field);

  const name = (row: number): string => {
    if (!nested) return `${field}[${row}]`;
    const inner = (inputs[0] as unknown[]).length;
    return `${field}[${Math.floor(row / inner)}][${row % inner}]`;
  };
  const width = Array.isArray(rows[0]) ? rows[0].length : 0;
  // Before anything is set aside for them: a wide first row and thousands of empty ones would claim gigabytes.
  for (const [i, row] of rows.entries()) {
    if (!Array.isArray(row)) throw invalid(`${name(i)} must be a list of numbers; it is ${describe(row)}.`);
    if (row.length !== width) {
      throw new WireError(
        "PURSUIT_WRONG_WIDTH",
        `${name(i)} holds ${row.length} numbers, ${name(0)} holds ${width}; rows must be of one width.`,
      );
    }
  }
  const data = new Float32Array(rows.length * width);
  let at = 0;
  for (const [i, row] of (rows as unknown[][]).entries()) {
    for (let column = 0; column < width; column++) {
      const value = row[column];
      if (typeof value !== "number") throw invalid(`${name(i)}[${column}] must be a number; it is ${describe(value)}.`);
      data[at++] = value;
    }
  }
  const leading = nested ? [inputs.length, (inputs[0] as unknown[]).length] : [rows.length];
  return { data, count: rows.length, width, shape: [...leading, width] };
}

function numbersToRows({ data, shape }: NumberRows, limits: RowLimits, field: string): PostedRows {
  const width = shape.at(-1)!;
  const count = data.length / width;
  checkCount(count, limits, field);
  return { data, count, width, shape };
}

/** [batch, seq, d] → [batch · seq, d] */
function flatten(inputs: unknown[], field: string): unknown[] {
  const inner = (inputs[0] as unknown[]).length;
  for (const [i, part] of inputs.entries()) {
    if (!Array.isArray(part) || part.length !== inner) {
      const held = Array.isArray(part) ? `${part.length} rows` : describe(part);
      throw invalid(`${field}[${i}] holds ${held}, ${field}[0] holds ${inner} rows; all must hold as many.`);
    }
  }
  return inputs.flat(1);
}
