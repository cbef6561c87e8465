/** Active atoms of one row after another: a list that grows. */
export class ActiveAtoms {
  indices: Uint32Array;
  values: Float32Array;
  length = 0;

  constructor(capacity = 4096) {
    this.indices = new Uint32Array(capacity);
    this.values = new Float32Array(capacity);
  }

  push(index: number, value: number): void {
    if (this.length === this.indices.length) this.#grow();
    this.indices[this.length] = index;
    this.values[this.length++] = value;
  }

  #grow(): void {
    const indices = new Uint32Array(2 * this.length);
    const values = new Float32Array(2 * this.length);
    indices.set(this.indices);
    values.set(this.values);
    this.indices = indices;
    this.values = values;
  }
}

/**
 * Appends the active atoms of one row to `active`, by ascending index. Values that are not finite are left out: no
 * answer could carry them.
 * @param h [m] W·in + bias of the row; the first entries alone where a budget names a group
 */
export type Activation = (h: Float32Array, active: ActiveAtoms) => void;

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
