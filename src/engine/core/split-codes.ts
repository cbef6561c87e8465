import { type CodeColumn, codesOfColumns, columnOfCodes, type SparseCodes } from "./sparse-codes.ts";

/** Rows of a batch that belong to one request, and its options. */
export interface CodesPart {
  readonly from: number;
  readonly to: number;
  readonly trace: boolean;
  readonly reconstruction: boolean;
}

/** Rows [from, to) of a batch's codes, without columns that the request did not ask for. Views where possible. */
export function sliceCodes(codes: SparseCodes, { from, to, trace, reconstruction }: CodesPart): SparseCodes {
  const { count } = codes;
  return codesOfColumns({ count: to - from, width: codes.width }, (rule) => {
    const [outer] = rule.path;
    if ((outer === "trace" && !trace) || (outer === "reconstruction" && !reconstruction)) return undefined;
    const column = columnOfCodes(codes, rule);
    switch (rule.extent) {
      case "rows":
        return column?.subarray(from, to);
      case "values":
        return column?.subarray((column.length / count) * from, (column.length / count) * to);
      case "pointers":
      case "trace_pointers":
        return column && slicePointers(column as Uint32Array, from, to);
      case "entries":
        return column?.subarray(codes.indptr[from], codes.indptr[to]);
      case "trace_entries":
        return column?.subarray(codes.trace!.indptr[from], codes.trace!.indptr[to]);
    }
  });
}

const slicePointers = (indptr: Uint32Array, from: number, to: number): Uint32Array =>
  indptr.slice(from, to + 1).map((at) => at - indptr[from]!);

/** Joins the codes of consecutive parts of one request, in order. At least one part. */
export function joinCodes(parts: readonly SparseCodes[]): SparseCodes {
  const [head] = parts;
  if (head === undefined) throw new Error("there are no codes to join");
  if (parts.length === 1) return head;
  const count = parts.reduce((sum, part) => sum + part.count, 0);
  return codesOfColumns({ count, width: head.width }, (rule) => {
    const { type, extent } = rule;
    const pieces = parts.map((part) => columnOfCodes(part, rule));
    if (!pieces.every((piece) => piece !== undefined)) return undefined;
    if (extent === "pointers" || extent === "trace_pointers") return joinPointers(pieces as Uint32Array[]);
    return join(new type(pieces.reduce((sum, { length }) => sum + length, 0)), pieces);
  });
}

function joinPointers(parts: readonly Uint32Array[]): Uint32Array {
  const joined = new Uint32Array(1 + parts.reduce((sum, part) => sum + part.length - 1, 0));
  let at = 0;
  for (const part of parts) {
    const base = joined[at]!;
    for (let i = 1; i < part.length; i++) joined[++at] = base + part[i]!;
  }
  return joined;
}

function join(joined: CodeColumn, parts: readonly CodeColumn[]): CodeColumn {
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}
