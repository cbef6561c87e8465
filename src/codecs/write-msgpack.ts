import { Packr } from "msgpackr";
import { CODE_COLUMNS, type CodeColumn, columnOfCodes, type SparseCodes } from "../engine/core/sparse-codes.ts";
import type { Rows } from "../engine/core/rows.ts";
import { codeWriter, type EncodeAnswerHead, headFields, type NumberForm } from "./write-codes.ts";

/** Plain maps, arrays and bin, which every MessagePack reads; maps of any size. */
const packr = new Packr({ useRecords: false, variableMapSize: true, moreTypes: false });

/** In memory of its own: the packer's buffer is used again for the next answer. */
const pack = (answer: object): Buffer<ArrayBuffer> => {
  const packed = packr.pack(answer);
  const bytes = Buffer.allocUnsafeSlow(packed.length);
  packed.copy(bytes);
  return bytes;
};

const dtypeOf = (column: CodeColumn): string =>
  column instanceof Float32Array ? "float32" : column instanceof Uint32Array ? "uint32" : "uint8";

/** `{data, dtype, shape}`, the data plain bin, which `numpy.frombuffer` takes. */
const arrayOf = (column: CodeColumn, shape: readonly number[] = [column.length]): object => ({
  data: Buffer.from(column.buffer, column.byteOffset, column.byteLength),
  dtype: dtypeOf(column),
  shape,
});

const NUMBERS: NumberForm = { one: (column, i) => column[i]!, list: (column) => arrayOf(column) };

/**
 * An encode answer as MessagePack. Format csr: one array for each column of {@link CODE_COLUMNS}, whatever the number of
 * rows. The others: an object a row, as in JSON, its lists of numbers as arrays.
 */
export function writeMsgpack(codes: SparseCodes, head: EncodeAnswerHead): Buffer<ArrayBuffer> {
  const { count } = codes;
  const { format, shape } = head;
  const fields = headFields(codes, head);
  if (format === "csr") return pack({ ...fields, ...columnsOf(codes, head) });
  const write = codeWriter(codes, { ...head, format }, NUMBERS);
  return pack({ ...fields, ...(shape && { shape }), codes: Array.from({ length: count }, (_, i) => write(i)) });
}

function columnsOf(codes: SparseCodes, { labels, shape }: EncodeAnswerHead): object {
  const { count, width, indptr } = codes;
  const columns: Record<string, unknown> = {
    shape: [count, width],
    ...(shape && { inputs_shape: shape }),
    atoms: arrayOf(Uint32Array.from({ length: count }, (_, i) => indptr[i + 1]! - indptr[i]!)),
    ...(labels && { labels }),
  };
  for (const rule of CODE_COLUMNS) {
    const column = columnOfCodes(codes, rule);
    if (column === undefined) continue;
    const { key, extent, names } = rule;
    const [outer, inner] = key;
    const written = names
      ? Array.from(column, (at) => names[at]!)
      : arrayOf(column, extent === "values" ? [count, column.length / count] : undefined);
    if (inner === undefined) columns[outer] = written;
    else columns[outer] = { ...(columns[outer] as object | undefined), [inner]: written };
  }
  return columns;
}

/** Rows as MessagePack: a decode answer. */
export const writeRowsMsgpack = ({ data, count, width }: Rows): Buffer<ArrayBuffer> =>
  pack({ outputs: arrayOf(data, [count, width]) });
