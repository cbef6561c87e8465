/** Slots at first, and again whenever the ring has run empty. A power of two, as every size is. */
const FIRST_SIZE = 64;

/**
 * A queue in a ring of slots. `push`, `shift` and `remove` of any item cost the same however many wait; a removed item
 * leaves a hole that the head steps over, and is held on to no longer.
 *
 *          head           tail
 *           ▼              ▼
 *     [ · · c · d e f · h  · · ]     size 5; tickets are positions that only grow
 *             └ hole: removed ┘
 */
export class Ring<T extends object> {
  #slots: (T | undefined)[] = Array.from({ length: FIRST_SIZE });
  #head = 0;
  #tail = 0;
  #size = 0;

  /** Items in it. */
  get size(): number {
    return this.#size;
  }

  /** Puts an item at the end. @returns a ticket to {@link remove} it by */
  push(item: T): number {
    if (this.#tail - this.#head === this.#slots.length) this.#grow();
    this.#slots[this.#tail & (this.#slots.length - 1)] = item;
    this.#size++;
    return this.#tail++;
  }

  /** The item at the head, left where it is. */
  peek(): T | undefined {
    if (this.#size === 0) return undefined;
    const mask = this.#slots.length - 1;
    while (this.#slots[this.#head & mask] === undefined) this.#head++;
    return this.#slots[this.#head & mask];
  }

  /** Takes the item at the head out. */
  shift(): T | undefined {
    const item = this.peek();
    if (item !== undefined) this.remove(this.#head);
    return item;
  }

  /** Takes an item out wherever it is. False when it is out already. */
  remove(ticket: number): boolean {
    const slot = ticket & (this.#slots.length - 1);
    if (ticket < this.#head || ticket >= this.#tail || this.#slots[slot] === undefined) return false;
    this.#slots[slot] = undefined;
    if (ticket === this.#head) this.#head++;
    this.#size--;
    // A burst's memory is given back once it is over.
    if (this.#size === 0 && this.#slots.length > FIRST_SIZE) this.#slots = Array.from({ length: FIRST_SIZE });
    if (this.#size === 0) this.#head = this.#tail;
    return true;
  }

  /** All items, from the head on. */
  *[Symbol.iterator](): Generator<T> {
    for (let at = this.#head; at < this.#tail; at++) {
      const item = this.#slots[at & (this.#slots.length - 1)];
      if (item !== undefined) yield item;
    }
  }

  #grow(): void {
    const slots: (T | undefined)[] = Array.from({ length: this.#slots.length * 2 });
    for (let at = this.#head; at < this.#tail; at++) {
      slots[at & (slots.length - 1)] = this.#slots[at & (this.#slots.length - 1)];
    }
    this.#slots = slots;
  }
}
