/** An atom is dependent if its squared distance from the span of the others is below this share of its own square. */
const DEPENDENT = 1e-6;

/** A coefficient may return if its gradient exceeds this share of ||x|| · ||D_j||; below it is rounding. */
const GRADIENT = 1e-12;

/** Turns of the active set per selection. scipy's nnls allows three times the variables; none has come near. */
const TURNS = 3;

/** Initial capacity in selections; it doubles as rows go deeper. */
const INITIAL = 64;

/**
 * Writes float64 products of atom j with the first `count` selected atoms, itself the last, into `into` from `at`.
 * @returns its product with x
 */
export type Measure = (j: number, selected: Int32Array, count: number, into: Float64Array, at: number) => number;

/** A solution before the last selection. */
interface State {
  coefficients: Float64Array;
  free: Int32Array;
  freeCount: number;
  energy: number;
}

/**
 * Solves min ||x − Σ z_j D_j|| in float64 over a set of selected atoms that grows one by one, with a Cholesky factor of
 * their Gram matrix extended by a row per selection (Rubinstein et al., "Efficient implementation of the K-SVD
 * algorithm using batch orthogonal matching pursuit", 2008).
 *
 * The non-negative form uses the active set of Lawson and Hanson, started from the previous solution: the minimum over
 * all selected atoms with every z_j ≥ 0. An atom whose coefficient would be negative stays selected at 0, and returns
 * when a later selection makes it worthwhile.
 *
 * One instance serves row after row; `start` begins the next.
 */
export class LeastSquares {
  /** [size] atoms in order of selection. */
  selected: Int32Array = new Int32Array(INITIAL);
  /** [size] their coefficients. */
  coefficients: Float64Array = new Float64Array(INITIAL);
  size = 0;
  /** ||r||². Near the row's rounding {@link residual} is more exact. */
  energy = 0;

  readonly #atoms: Float32Array;
  readonly #d: number;
  readonly #nonNegative: boolean;
  readonly #measure: Measure;
  #x: Float32Array = new Float32Array();
  #start = 0;
  /** Dᵢ·D_k of selected atoms, rows packed: [i · (i + 1) / 2 + k], k ≤ i. */
  #gram: Float64Array = new Float64Array(packed(INITIAL));
  /** [size] Dᵢ·x */
  #products: Float64Array = new Float64Array(INITIAL);
  /** Selections whose coefficients are free; without the constraint, all of them. */
  #free: Int32Array = new Int32Array(INITIAL);
  #freeCount = 0;
  /** Cholesky factor over the free ones, rows packed. */
  #factor: Float64Array = new Float64Array(packed(INITIAL));
  /** [free] coordinates of x along the orthogonalised atoms: each lowers ||r||² by its square. */
  #coordinates: Float64Array = new Float64Array(INITIAL);
  #solution: Float64Array = new Float64Array(INITIAL);
  readonly #before: State = {
    coefficients: new Float64Array(INITIAL),
    free: new Int32Array(INITIAL),
    freeCount: 0,
    energy: 0,
  };

  constructor(
    { atoms, d }: { readonly atoms: Float32Array; readonly d: number },
    nonNegative: boolean,
    measure?: Measure,
  ) {
    this.#atoms = atoms;
    this.#d = d;
    this.#nonNegative = nonNegative;
    this.#measure = measure ?? ((j, selected, count, into, at) => this.#multiply(j, selected, count, into, at));
  }

  /** @param x [d] @param energy ||x||² */
  start(x: Float32Array, energy: number): void {
    this.#x = x;
    this.#start = energy;
    this.energy = energy;
    this.size = 0;
    this.#freeCount = 0;
  }

  /**
   * Selects an atom and solves again.
   * `dependent`: it lies almost wholly in the span of the others; nothing changed.
   * `no_gain`: its coefficient would be 0 in the non-negative solution; nothing changed.
   */
  add(j: number): "added" | "dependent" | "no_gain" {
    if (this.size === this.selected.length) this.#grow();
    const { coefficients } = this;
    const at = this.size;
    this.#remember();
    this.selected[at] = j;
    this.#products[at] = this.#measure(j, this.selected, at + 1, this.#gram, packed(at));
    if (!this.#extend(at)) return "dependent";
    coefficients[at] = 0;
    this.size++;
    if (this.#nonNegative) {
      if (this.#descend() && this.energy < this.#before.energy) return "added";
      this.undo();
      return "no_gain";
    }
    this.#solve();
    for (let a = 0; a < this.#freeCount; a++) coefficients[a] = this.#solution[a]!;
    this.#sumEnergy();
    return "added";
  }

  /** Undoes the last selection. */
  undo(): void {
    const { coefficients, free, freeCount, energy } = this.#before;
    this.size--;
    this.coefficients.set(coefficients.subarray(0, this.size));
    this.#free.set(free.subarray(0, freeCount));
    this.energy = energy;
    this.#freeCount = 0;
    for (let a = 0; a < freeCount; a++) this.#extend(free[a]!);
  }

  /** Computes r = x − Σ z_j D_j into `into` [d], without a running sum. @returns ||r||² */
  residual(into: Float64Array): number {
    const d = this.#d;
    const atoms = this.#atoms;
    for (let c = 0; c < d; c++) into[c] = this.#x[c]!;
    for (let i = 0; i < this.size; i++) {
      const value = this.coefficients[i]!;
      if (value === 0) continue;
      for (let c = 0, at = this.selected[i]! * d; c < d; c++, at++) into[c]! -= value * atoms[at]!;
    }
    let squares = 0;
    for (let c = 0; c < d; c++) squares += into[c]! * into[c]!;
    return squares;
  }

  /** Default {@link Measure}. */
  #multiply(j: number, selected: Int32Array, count: number, into: Float64Array, at: number): number {
    const atoms = this.#atoms;
    const d = this.#d;
    for (let k = 0; k < count; k++) into[at + k] = dot(atoms, j * d, atoms, selected[k]! * d, d);
    return dot(atoms, j * d, this.#x, 0, d);
  }

  /** Adds a row to the factor. @returns false if the atom is dependent: the factor is then unchanged */
  #extend(at: number): boolean {
    const count = this.#freeCount;
    const factor = this.#factor;
    const row = packed(count);
    const own = this.#between(at, at);
    let pivot = own;
    let coordinate = this.#products[at]!;
    for (let a = 0; a < count; a++) {
      let sum = this.#between(at, this.#free[a]!);
      const above = packed(a);
      for (let b = 0; b < a; b++) sum -= factor[above + b]! * factor[row + b]!;
      const entry = sum / factor[above + a]!;
      factor[row + a] = entry;
      pivot -= entry * entry;
      coordinate -= entry * this.#coordinates[a]!;
    }
    if (!(pivot >= DEPENDENT * own)) return false;
    factor[row + count] = Math.sqrt(pivot);
    this.#coordinates[count] = coordinate / factor[row + count]!;
    this.#free[count] = at;
    this.#freeCount++;
    return true;
  }

  /** Lawson and Hanson's turns, from the present coefficients to the minimum. @returns false if they do not end */
  #descend(): boolean {
    const { coefficients } = this;
    for (let turn = TURNS * this.size + TURNS; turn > 0; turn--) {
      this.#solve();
      const step = this.#longestStep();
      for (let a = 0; a < this.#freeCount; a++) {
        const at = this.#free[a]!;
        coefficients[at]! += step * (this.#solution[a]! - coefficients[at]!);
      }
      if (step < 1) this.#dropBlocked();
      else {
        this.#sumEnergy();
        if (!this.#releaseBest()) return true;
      }
    }
    return false;
  }

  /**
   * Finds the step toward the solution at which a coefficient reaches 0; that one, and those that end below, become
   * exactly 0.
   */
  #longestStep(): number {
    const { coefficients } = this;
    let step = 1;
    let blocking = -1;
    for (let a = 0; a < this.#freeCount; a++) {
      const wanted = this.#solution[a]!;
      if (wanted > 0) continue;
      const at = this.#free[a]!;
      const ratio = coefficients[at]! / (coefficients[at]! - wanted);
      // A coefficient at 0 that should stay there gives 0 / 0.
      const reach = Number.isNaN(ratio) ? 0 : ratio;
      if (reach < step || blocking < 0) {
        step = Math.min(step, reach);
        blocking = a;
      }
    }
    this.#blocking = blocking;
    return blocking < 0 ? 1 : Math.min(step, 1 - Number.EPSILON);
  }
  #blocking = -1;

  /** Removes the blocking coefficient, and any that is no longer positive, from the free ones. */
  #dropBlocked(): void {
    const kept: number[] = [];
    const blocked = this.#free[this.#blocking]!;
    for (let a = 0; a < this.#freeCount; a++) {
      const at = this.#free[a]!;
      if (at !== blocked && this.coefficients[at]! > 0) kept.push(at);
      else this.coefficients[at] = 0;
    }
    this.#freeCount = 0;
    for (const at of kept) if (!this.#extend(at)) this.coefficients[at] = 0;
  }

  /** Frees the selection at 0 that lowers ||r|| most steeply. @returns false if none does */
  #releaseBest(): boolean {
    if (this.#freeCount === this.size) return false;
    let best = -1;
    let steepest = 0;
    const free = new Set(this.#free.subarray(0, this.#freeCount));
    for (let at = 0; at < this.size; at++) {
      if (free.has(at)) continue;
      let gradient = this.#products[at]!;
      for (const other of free) gradient -= this.#between(at, other) * this.coefficients[other]!;
      const slope = gradient / Math.sqrt(this.#between(at, at));
      if (slope > steepest && slope > GRADIENT * Math.sqrt(this.#start)) {
        steepest = slope;
        best = at;
      }
    }
    return best >= 0 && this.#extend(best);
  }

  /** Computes the coefficients of the free atoms from the factor. */
  #solve(): void {
    const factor = this.#factor;
    for (let a = this.#freeCount - 1; a >= 0; a--) {
      let sum = this.#coordinates[a]!;
      for (let b = a + 1; b < this.#freeCount; b++) sum -= factor[packed(b) + a]! * this.#solution[b]!;
      this.#solution[a] = sum / factor[packed(a) + a]!;
    }
  }

  #sumEnergy(): void {
    let energy = this.#start;
    for (let a = 0; a < this.#freeCount; a++) energy -= this.#coordinates[a]! ** 2;
    this.energy = Math.max(energy, 0);
  }

  #between(i: number, k: number): number {
    return i > k ? this.#gram[packed(i) + k]! : this.#gram[packed(k) + i]!;
  }

  #remember(): void {
    const before = this.#before;
    if (before.coefficients.length < this.selected.length) {
      before.coefficients = new Float64Array(this.selected.length);
      before.free = new Int32Array(this.selected.length);
    }
    before.coefficients.set(this.coefficients.subarray(0, this.size));
    before.free.set(this.#free.subarray(0, this.#freeCount));
    before.freeCount = this.#freeCount;
    before.energy = this.energy;
  }

  #grow(): void {
    const room = this.selected.length * 2;
    const wider = (old: Float64Array, length: number): Float64Array => {
      const grown = new Float64Array(length);
      grown.set(old);
      return grown;
    };
    const widerInts = (old: Int32Array): Int32Array => {
      const grown = new Int32Array(room);
      grown.set(old);
      return grown;
    };
    this.selected = widerInts(this.selected);
    this.#free = widerInts(this.#free);
    this.coefficients = wider(this.coefficients, room);
    this.#products = wider(this.#products, room);
    this.#coordinates = wider(this.#coordinates, room);
    this.#solution = wider(this.#solution, room);
    this.#gram = wider(this.#gram, packed(room));
    this.#factor = wider(this.#factor, packed(room));
  }
}

/** Offset of row i in a packed lower triangle. */
function packed(i: number): number {
  return (i * (i + 1)) / 2;
}

/** Σ a·b in float64, in four independent sums for speed. */
function dot(a: Float32Array, fromA: number, b: Float32Array, fromB: number, length: number): number {
  let [s0, s1, s2, s3] = [0, 0, 0, 0];
  let c = 0;
  for (; c + 3 < length; c += 4) {
    s0 += a[fromA + c]! * b[fromB + c]!;
    s1 += a[fromA + c + 1]! * b[fromB + c + 1]!;
    s2 += a[fromA + c + 2]! * b[fromB + c + 2]!;
    s3 += a[fromA + c + 3]! * b[fromB + c + 3]!;
  }
  for (; c < length; c++) s0 += a[fromA + c]! * b[fromB + c]!;
  return s0 + s1 + (s2 + s3);
}
