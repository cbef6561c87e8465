import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

/** Float64 functions on rows: assembly/float64.ts. */
export interface F64Kernel {
  readonly toF64: (row64: number, x: number, width: number) => void;
  readonly toF32: (r: number, row64: number, width: number) => void;
  readonly subtractF64: (row64: number, atom: number, z: number, width: number) => void;
  readonly subtractFourF64: (
    row64: number,
    atom0: number,
    z0: number,
    atom1: number,
    z1: number,
    atom2: number,
    z2: number,
    atom3: number,
    z3: number,
    width: number,
  ) => void;
  readonly energyF64: (row64: number, width: number) => number;
}

/** Functions that load rows into the cache: assembly/prefetch.ts. */
export interface PrefetchKernel {
  readonly prefetch: (row: number, width: number) => void;
  readonly prefetchTwo: (row1: number, row2: number, width: number) => void;
}

/** Functions that prepare rows: assembly/prepare.ts. */
export interface PrepareKernel {
  readonly centre: (x: number, b: number, width: number) => number;
  readonly rescale: (x: number, factor: number, width: number) => number;
}

/** Functions of assembly/pursuit.ts, which documents them, their addresses and widths. */
export interface PursuitKernel extends F64Kernel, PrefetchKernel {
  /** Has two forms: by the correlation, or by its magnitude. */
  readonly argmax: (c: number, width: number, out: number) => void;
  readonly advance: (c: number, g: number, v: number, width: number, out: number) => void;
  readonly advanceTwo: (
    c1: number,
    g1: number,
    v1: number,
    out1: number,
    c2: number,
    g2: number,
    v2: number,
    out2: number,
    width: number,
  ) => void;
  readonly subtract: (r: number, atom: number, v: number, width: number) => number;
}

/** Functions of assembly/orthogonal.ts. */
export interface OrthogonalKernel extends F64Kernel, PrefetchKernel {
  readonly explain: (
    c: number,
    terms: number,
    count: number,
    scales: number,
    width: number,
    blocks: number,
    out: number,
  ) => void;
  readonly products: (row64: number, list: number, count: number, width: number, out: number) => void;
}

type Exports = PursuitKernel &
  OrthogonalKernel &
  PrepareKernel & {
    readonly explainMagnitude: OrthogonalKernel["explain"];
    readonly argmaxMagnitude: PursuitKernel["argmax"];
    readonly advanceMagnitude: PursuitKernel["advance"];
    readonly advanceTwoMagnitude: PursuitKernel["advanceTwo"];
  };

/** Largest memory of one instance: 65,536 pages of 64 KiB. */
export const MAX_MEMORY = 2 ** 32;

const PAGE = 65_536;

/**
 * Loads the compiled module, which can be sent to other threads. @throws Error when it was not built ("npm run build")
 */
export function compilePursuitKernel(): WebAssembly.Module {
  // Built from assembly/ into dist/wasm, wherever this file runs from.
  const file = createRequire(import.meta.url).resolve("#dist/wasm/pursuit.wasm");
  return new WebAssembly.Module(readFileSync(file));
}

/** Creates memory for several threads. Untouched pages take no RAM; it never grows. */
export function createMemory(bytes: number): WebAssembly.Memory {
  const pages = Math.ceil(bytes / PAGE);
  return new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
}

export function instantiatePursuitKernel(
  module: WebAssembly.Module,
  memory: WebAssembly.Memory,
  byMagnitude: boolean,
): PursuitKernel {
  const exports = instantiate(module, memory);
  const { argmaxMagnitude, advanceMagnitude, advanceTwoMagnitude } = exports;
  return byMagnitude
    ? { ...exports, argmax: argmaxMagnitude, advance: advanceMagnitude, advanceTwo: advanceTwoMagnitude }
    : { ...exports };
}

export function instantiateOrthogonalKernel(
  module: WebAssembly.Module,
  memory: WebAssembly.Memory,
  byMagnitude: boolean,
): OrthogonalKernel {
  const exports = instantiate(module, memory);
  return byMagnitude ? { ...exports, explain: exports.explainMagnitude } : { ...exports };
}

export function instantiatePrepareKernel(module: WebAssembly.Module, memory: WebAssembly.Memory): PrepareKernel {
  return instantiate(module, memory);
}

function instantiate(module: WebAssembly.Module, memory: WebAssembly.Memory): Exports {
  const abort = (): never => {
    throw new Error("the pursuit kernel aborted");
  };
  return new WebAssembly.Instance(module, { env: { memory, abort } }).exports as unknown as Exports;
}
