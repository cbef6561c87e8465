/** Which atoms of a row can be active: the part of an activation rule that looks at every score. */
export type Screen =
  /** Atoms with h_j > limits_j. */
  | { readonly by: "limit"; readonly limits: Float32Array }
  /** The k largest h_j · factors_j in float32, or their magnitudes. The lower atom wins a tie; NaN never does. */
  | { readonly by: "rank"; readonly k: number; readonly magnitude: boolean; readonly factors: Float64Array | null }
  /** The largest of each group of `size` atoms; the lower one wins a tie. */
  | { readonly by: "group"; readonly size: number };

/** The activation rule of a one-pass kind, in float32. */
export interface Activation {
  readonly screen: Screen;
  /** Value of a candidate with score h; 0 if it is not active. */
  readonly value: (h: number, j: number) => number;
}

/** Atoms of a row that can be active, ascending, and their scores h. */
export interface Candidates {
  readonly atoms: Uint32Array;
  readonly scores: Float32Array;
}

/** Looks for the candidates of a screen among h = products + bias. */
export interface CandidateScan {
  /** [length] memory to write products into, valid until the next call; null: any memory will do. */
  room(length: number): Float32Array | null;
  /**
   * The candidates of one row; valid until the next call.
   * @param products in memory of `room` where that gave some; only the first atoms' where a budget names a group
   */
  candidates(products: Float32Array): Candidates;
}

/** Looks for candidates with plain loops. */
export class PlainScan implements CandidateScan {
  readonly #screen: Screen;
  readonly #bias: Float32Array;
  readonly #h: Float32Array;
  readonly #keys: Float32Array;
  readonly #largest: LargestKeys | null;
  readonly #found: Uint32Array;
  readonly #scores: Float32Array;

  /** @param bias [m]; absent: none */
  constructor(screen: Screen, m: number, bias: Float32Array = new Float32Array(m)) {
    this.#screen = screen;
    this.#bias = bias;
    this.#h = new Float32Array(m);
    const copies = screen.by === "rank" && (screen.magnitude || screen.factors !== null);
    this.#keys = new Float32Array(copies ? m : 0);
    this.#largest = screen.by === "rank" ? new LargestKeys(screen.k) : null;
    this.#found = new Uint32Array(screen.by === "rank" ? 0 : m);
    this.#scores = new Float32Array(m);
  }

  room(): null {
    return null;
  }

  candidates(products: Float32Array): Candidates {
    const h = this.#h.subarray(0, products.length);
    for (let j = 0; j < h.length; j++) h[j] = products[j]! + this.#bias[j]!;
    const atoms = this.#find(h);
    const scores = this.#scores.subarray(0, atoms.length);
    for (let k = 0; k < atoms.length; k++) scores[k] = h[atoms[k]!]!;
    return { atoms, scores };
  }

  #find(h: Float32Array): Uint32Array {
    const screen = this.#screen;
    if (screen.by === "rank") return this.#largest!.select(this.#keysOf(h, screen));
    const found = this.#found;
    let length = 0;
    if (screen.by === "limit") {
      const { limits } = screen;
      for (let j = 0; j < h.length; j++) if (h[j]! > limits[j]!) found[length++] = j;
    } else {
      for (let from = 0; from < h.length; from += screen.size) {
        let best = from;
        for (let j = from + 1; j < Math.min(from + screen.size, h.length); j++) if (h[j]! > h[best]!) best = j;
        found[length++] = best;
      }
    }
    return found.subarray(0, length);
  }

  #keysOf(h: Float32Array, { magnitude, factors }: Screen & { by: "rank" }): Float32Array {
    if (!magnitude && factors === null) return h;
    const keys = this.#keys.subarray(0, h.length);
    for (let j = 0; j < h.length; j++) {
      const key = factors === null ? h[j]! : h[j]! * factors[j]!;
      keys[j] = magnitude ? Math.abs(key) : key;
    }
    return keys;
  }
}

/**
 * Selects the k largest of a row of keys; the lower index wins a tie, NaN never does.
 * A heap of the best so far has the worst of them on top, so that most keys cost one comparison.
 */
export class LargestKeys {
  readonly #keys: Float32Array;
  readonly #indices: Uint32Array;
  readonly #k: number;
  #size = 0;

  constructor(k: number) {
    this.#k = k;
    this.#keys = new Float32Array(k);
    this.#indices = new Uint32Array(k);
  }

  /** @returns the indices of the k largest, ascending; valid until the next call. */
  select(keys: Float32Array): Uint32Array {
    this.#size = 0;
    let j = 0;
    for (; j < keys.length && this.#size < this.#k; j++) if (!Number.isNaN(keys[j])) this.#add(keys[j]!, j);
    for (let worst = this.#keys[0]!; j < keys.length; j++) {
      if (!(keys[j]! > worst)) continue;
      this.#replaceWorst(keys[j]!, j);
      worst = this.#keys[0]!;
    }
    return this.#indices.subarray(0, this.#size).sort();
  }

  #add(key: number, index: number): void {
    let at = this.#size++;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.#worse(key, index, parent)) break;
      this.#move(parent, at);
      at = parent;
    }
    this.#put(at, key, index);
  }

  #replaceWorst(key: number, index: number): void {
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= this.#size) break;
      const right = child + 1;
      if (right < this.#size && this.#worse(this.#keys[right]!, this.#indices[right]!, child)) child = right;
      if (this.#worse(key, index, child)) break;
      this.#move(child, at);
      at = child;
    }
    this.#put(at, key, index);
  }

  /** Whether (key, index) would leave the selection before the entry at `at`. */
  #worse(key: number, index: number, at: number): boolean {
    const other = this.#keys[at]!;
    return key < other || (key === other && index > this.#indices[at]!);
  }

  #move(from: number, to: number): void {
    this.#keys[to] = this.#keys[from]!;
    this.#indices[to] = this.#indices[from]!;
  }

  #put(at: number, key: number, index: number): void {
    this.#keys[at] = key;
    this.#indices[at] = index;
  }
}
