import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { type CandidateScan, PlainScan, type Screen } from "../../core/candidate-atoms.ts";
import { webAssemblyFits } from "../../core/process-limits.ts";
import { LINE } from "./arena.ts";

/** Functions of scan/assembly/scan.ts, which documents them. */
interface ScanKernel {
  readonly above: (scores: number, limits: number, width: number, list: number) => number;
  readonly scale: (scores: number, factors: number, width: number, keys: number) => void;
  readonly largest: (keys: number, width: number, k: number, heap: number, list: number) => number;
  readonly largestMagnitude: ScanKernel["largest"];
  readonly largestOfGroups: (scores: number, width: number, size: number, list: number) => number;
}

/**
 * A scan by SIMD over scores that the runtime writes into WebAssembly memory; by plain loops where the address space is too
 * small for one more memory.
 * @param capacity the most scores at once; pages that were never written take no RAM
 */
export function createScan(screen: Screen, m: number, capacity: number): CandidateScan {
  return webAssemblyFits() ? new KernelScan(screen, m, capacity) : new PlainScan(screen, m);
}

/** The kernel's `scale` writes up to three keys beyond a row. */
const BEYOND = 16;

class KernelScan implements CandidateScan {
  readonly #kernel: ScanKernel;
  readonly #buffer: ArrayBuffer;
  readonly #screen: Screen;
  /** Addresses of the limits, or of the factors; of the scaled keys; of the heap; of the list; of the scores. */
  readonly #given: number;
  readonly #keys: number;
  readonly #heap: number;
  readonly #list: number;
  readonly #scores: number;

  constructor(screen: Screen, m: number, capacity: number) {
    this.#screen = screen;
    const factors = screen.by === "rank" ? screen.factors : null;
    let end = LINE;
    const take = (bytes: number): number => {
      const from = end;
      end += Math.ceil(bytes / LINE) * LINE;
      return from;
    };
    this.#given = take(screen.by === "limit" ? 4 * m : factors === null ? 0 : 8 * m + BEYOND);
    this.#keys = take(factors === null ? 0 : 4 * m + BEYOND);
    this.#heap = take(screen.by === "rank" ? 4 * screen.k : 0);
    this.#list = take(4 * m);
    this.#scores = take(4 * capacity + BEYOND);
    // Not shared with other threads: the runtime's binding takes no shared memory.
    const memory = new WebAssembly.Memory<ArrayBuffer>({ initial: Math.ceil(end / PAGE) });
    this.#buffer = memory.buffer;
    this.#kernel = instantiate(memory);
    if (screen.by === "limit") new Float32Array(this.#buffer, this.#given, m).set(screen.limits);
    if (factors !== null) new Float64Array(this.#buffer, this.#given, m).set(factors);
  }

  scores(length: number): Float32Array {
    return new Float32Array(this.#buffer, this.#scores, length);
  }

  candidates({ byteOffset, length }: Float32Array): Uint32Array {
    return new Uint32Array(this.#buffer, this.#list, this.#find(byteOffset, length));
  }

  #find(scores: number, width: number): number {
    const screen = this.#screen;
    const list = this.#list;
    if (screen.by === "limit") return this.#kernel.above(scores, this.#given, width, list);
    if (screen.by === "group") return this.#kernel.largestOfGroups(scores, width, screen.size, list);
    if (screen.factors !== null) this.#kernel.scale(scores, this.#given, width, this.#keys);
    const keys = screen.factors === null ? scores : this.#keys;
    const largest = screen.magnitude ? this.#kernel.largestMagnitude : this.#kernel.largest;
    return largest(keys, width, screen.k, this.#heap, list);
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
