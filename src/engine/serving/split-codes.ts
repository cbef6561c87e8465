import type { PursuitTrace, SparseCodes } from "../core/sparse-codes.ts";

/** What one request wants of the batch that its rows were part of. */
export interface CodesPart {
  readonly from: number;
  readonly to: number;
  readonly trace: boolean;
  readonly reconstruction: boolean;
}

/** Rows [from, to) of a batch's codes, without what the request did not ask for. Views where that is possible. */
export function sliceCodes(codes: SparseCodes, { from, to, trace, reconstruction }: CodesPart, d: number): SparseCodes {
  const [indptr, first, last] = slicePointers(codes.indptr, from, to);
  return {
    count: to - from,
    width: codes.width,
    indptr,
    indices: codes.indices.subarray(first, last),
    values: codes.values.subarray(first, last),
    steps: codes.steps.subarray(from, to),
    stops: codes.stops.subarray(from, to),
    residualNorms: codes.residualNorms.subarray(from, to),
    relativeErrors: codes.relativeErrors.subarray(from, to),
    ...(codes.norm && {
      norm: { shift: codes.norm.shift.subarray(from, to), scale: codes.norm.scale.subarray(from, to) },
    }),
    ...(trace && codes.trace && { trace: sliceTrace(codes.trace, from, to) }),
    ...(reconstruction && codes.reconstruction && { reconstruction: codes.reconstruction.subarray(from * d, to * d) }),
  };
}

function sliceTrace(trace: PursuitTrace, from: number, to: number): PursuitTrace {
  const [indptr, first, last] = slicePointers(trace.indptr, from, to);
  return {
    indptr,
    indices: trace.indices.subarray(first, last),
    values: trace.values.subarray(first, last),
    residualNorms: trace.residualNorms.subarray(first, last),
  };
}

function slicePointers(indptr: Uint32Array, from: number, to: number): [Uint32Array, number, number] {
  const first = indptr[from]!;
  return [indptr.slice(from, to + 1).map((at) => at - first), first, indptr[to]!];
}

/** The codes of consecutive parts of one request, joined again in order. At least one part. */
export function joinCodes(parts: readonly SparseCodes[]): SparseCodes {
  const [head] = parts;
  if (head === undefined) throw new Error("there are no codes to join");
  if (parts.length === 1) return head;
  const traces = parts.flatMap((part) => part.trace ?? []);
  const norms = parts.flatMap((part) => part.norm ?? []);
  const reconstructions = parts.flatMap((part) => part.reconstruction ?? []);
  return {
    count: parts.reduce((sum, part) => sum + part.count, 0),
    width: head.width,
    indptr: joinPointers(parts.map((part) => part.indptr)),
    indices: joinU32(parts.map((part) => part.indices)),
    values: joinF32(parts.map((part) => part.values)),
    steps: joinU32(parts.map((part) => part.steps)),
    stops: Uint8Array.from(Buffer.concat(parts.map((part) => part.stops))),
    residualNorms: joinF32(parts.map((part) => part.residualNorms)),
    relativeErrors: joinF32(parts.map((part) => part.relativeErrors)),
    ...(norms.length > 0 && {
      norm: { shift: joinF32(norms.map((norm) => norm.shift)), scale: joinF32(norms.map((norm) => norm.scale)) },
    }),
    ...(traces.length > 0 && {
      trace: {
        indptr: joinPointers(traces.map((trace) => trace.indptr)),
        indices: joinU32(traces.map((trace) => trace.indices)),
        values: joinF32(traces.map((trace) => trace.values)),
        residualNorms: joinF32(traces.map((trace) => trace.residualNorms)),
      },
    }),
    ...(reconstructions.length > 0 && { reconstruction: joinF32(reconstructions) }),
  };
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

function joinInto<T extends Float32Array | Uint32Array>(joined: T, parts: readonly T[]): T {
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

const total = (parts: readonly { readonly length: number }[]): number =>
  parts.reduce((sum, { length }) => sum + length, 0);
const joinF32 = (parts: readonly Float32Array[]): Float32Array => joinInto(new Float32Array(total(parts)), parts);
const joinU32 = (parts: readonly Uint32Array[]): Uint32Array => joinInto(new Uint32Array(total(parts)), parts);
