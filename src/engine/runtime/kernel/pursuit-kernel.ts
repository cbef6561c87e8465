import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

/** What works on rows in float64: assembly/wide.ts. */
export interface WideKernel {
  readonly widen: (wide: number, x: number, width: number) => void;
  readonly narrow: (r: number, wide: number, width: number) => void;
  readonly subtractWide: (wide: number, atom: number, z: number, width: number) => void;
  readonly subtractWideFour: (
    wide: number,
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
  readonly energyWide: (wide: number, width: number) => number;
}

/** What brings rows into the cache: assembly/touch.ts. */
export interface RowTouchKernel {
  readonly touch: (row: number, width: number) => void;
  readonly touchTwo: (row1: number, row2: number, width: number) => void;
}

/** What readies rows: assembly/prepare.ts. */
export interface PrepareKernel {
  readonly centre: (x: number, b: number, width: number) => number;
  readonly rescale: (x: number, factor: number, width: number) => number;
}

/** Addresses and widths as in assembly/pursuit.ts, which says what each function does. */
export interface PursuitKernel extends WideKernel, RowTouchKernel {
  /** Two forms of a function: by the correlation itself, or by its magnitude. */
  readonly winner: (c: number, width: number, out: number) => void;
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

/** The same of assembly/orthogonal.ts. */
export interface OrthogonalKernel extends WideKernel, RowTouchKernel {
  readonly explain: (
    c: number,
    terms: number,
    count: number,
    scales: number,
    width: number,
    blocks: number,
    out: number,
  ) => void;
  readonly products: (wide: number, list: number, count: number, width: number, out: number) => void;
}

type Exports = PursuitKernel &
  OrthogonalKernel &
  PrepareKernel & {
    readonly explainMagnitude: OrthogonalKernel["explain"];
    readonly winnerMagnitude: PursuitKernel["winner"];
    readonly advanceMagnitude: PursuitKernel["advance"];
    readonly advanceTwoMagnitude: PursuitKernel["advanceTwo"];
  };

/** Largest memory of one instance: 65,536 pages of 64 KiB. */
export const MAX_MEMORY = 2 ** 32;

const PAGE = 65_536;

/** The compiled module; it may be handed to other threads. @throws Error when it was not built ("npm run build"). */
export function compilePursuitKernel(): WebAssembly.Module {
  // Built from assembly/ into dist/kernel, wherever this file itself runs from.
  const file = createRequire(import.meta.url).resolve("#dist/wasm/pursuit.wasm");
  return new WebAssembly.Module(readFileSync(file));
}

/** Memory that threads share. Its pages take no room before they are written, and it never grows. */
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
  const { winnerMagnitude, advanceMagnitude, advanceTwoMagnitude } = exports;
  return byMagnitude
    ? { ...exports, winner: winnerMagnitude, advance: advanceMagnitude, advanceTwo: advanceTwoMagnitude }
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
