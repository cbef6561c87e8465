import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { type Candidates, type CandidateScan, PlainScan, type Screen } from "../../core/candidate-atoms.ts";
import { webAssemblyFits } from "../../core/process-limits.ts";
import { LINE } from "./arena.ts";

/** Functions of scan/assembly/scan.ts, which documents them. */
interface ScanKernel {
  readonly above: (products: number, bias: number, limits: number, width: number, list: number) => number;
  readonly scale: (products: number, bias: number, factors: number, width: number, keys: number) => void;
  readonly largest: (products: number, bias: number, width: number, k: number, heap: number, list: number) => number;
  readonly largestMagnitude: ScanKernel["largest"];
  readonly largestOfGroups: (products: number, bias: number, width: number, size: number, list: number) => number;
  readonly gather: (products: number, bias: number, list: number, count: number, scores: number) => void;
}

/**
 * A scan by SIMD over products that the runtime writes into WebAssembly memory; by plain loops where the address space is
 * too small for one more memory.
 * @param bias [m]; absent: none
 * @param capacity the most products at once; pages that were never written take no RAM
 */
export function createScan(screen: Screen, m: number, capacity: number, bias?: Float32Array): CandidateScan {
  return webAssemblyFits() ? new KernelScan(screen, m, capacity, bias) : new PlainScan(screen, m, bias);
}

/** The kernel's `scale` writes up to three keys beyond a row. */
const BEYOND = 16;

class KernelScan implements CandidateScan {
  readonly #kernel: ScanKernel;
  readonly #buffer: ArrayBuffer;
  readonly #screen: Screen;
  /** Addresses. `given`: the limits, or the factors. `zeros`: the bias of scaled keys. */
  readonly #bias: number;
  readonly #given: number;
  readonly #keys: number;
  readonly #zeros: number;
  readonly #heap: number;
  readonly #list: number;
  readonly #scores: number;
  readonly #products: number;

  constructor(screen: Screen, m: number, capacity: number, bias?: Float32Array) {
    this.#screen = screen;
    const factors = screen.by === "rank" ? screen.factors : null;
    let end = LINE;
    const take = (bytes: number): number => {
      const from = end;
      end += Math.ceil(bytes / LINE) * LINE;
      return from;
    };
    this.#bias = take(4 * m + BEYOND);
    this.#given = take(screen.by === "limit" ? 4 * m : factors === null ? 0 : 8 * m + BEYOND);
    this.#keys = take(factors === null ? 0 : 4 * m + BEYOND);
    this.#zeros = take(factors === null ? 0 : 4 * m);
    this.#heap = take(screen.by === "rank" ? 4 * screen.k : 0);
    this.#list = take(4 * m);
    this.#scores = take(4 * m);
    this.#products = take(4 * capacity + BEYOND);
    // Not shared with other threads: the runtime's binding takes no shared memory.
    const memory = new WebAssembly.Memory<ArrayBuffer>({ initial: Math.ceil(end / PAGE) });
    this.#buffer = memory.buffer;
    this.#kernel = instantiate(memory);
    if (bias !== undefined) new Float32Array(this.#buffer, this.#bias, m).set(bias);
    if (screen.by === "limit") new Float32Array(this.#buffer, this.#given, m).set(screen.limits);
    if (factors !== null) new Float64Array(this.#buffer, this.#given, m).set(factors);
  }

  room(length: number): Float32Array {
    return new Float32Array(this.#buffer, this.#products, length);
  }

  candidates({ byteOffset: products, length }: Float32Array): Candidates {
    const count = this.#find(products, length);
    this.#kernel.gather(products, this.#bias, this.#list, count, this.#scores);
    return {
      atoms: new Uint32Array(this.#buffer, this.#list, count),
      scores: new Float32Array(this.#buffer, this.#scores, count),
    };
  }

  /** Writes the list of candidates. @returns how many */
  #find(products: number, width: number): number {
    const screen = this.#screen;
    const kernel = this.#kernel;
    const bias = this.#bias;
    const list = this.#list;
    if (screen.by === "limit") return kernel.above(products, bias, this.#given, width, list);
    if (screen.by === "group") return kernel.largestOfGroups(products, bias, width, screen.size, list);
    const largest = screen.magnitude ? kernel.largestMagnitude : kernel.largest;
    if (screen.factors === null) return largest(products, bias, width, screen.k, this.#heap, list);
    kernel.scale(products, bias, this.#given, width, this.#keys);
    return largest(this.#keys, this.#zeros, width, screen.k, this.#heap, list);
  }
}

const PAGE = 65_536;

function instantiate(memory: WebAssembly.Memory<ArrayBuffer>): ScanKernel {
  // Built from scan/assembly into dist/wasm, wherever this file runs from.
  const file = createRequire(import.meta.url).resolve("#dist/wasm/scan.wasm");
  const module = new WebAssembly.Module(readFileSync(file));
  const abort = (): never => {
    throw new Error("the scan kernel aborted");
  };
  return new WebAssembly.Instance(module, { env: { memory, abort } }).exports as unknown as ScanKernel;
}
