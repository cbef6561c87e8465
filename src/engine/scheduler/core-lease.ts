/**
 * The machine's cores, leased first come, first served. A batch runs only under a lease, so that runtimes of several
 * dictionaries take turns instead of sharing cores: three two-thread runtimes spinning on 2 cores gave half the rows of
 * three that took turns, at 15 times the p99 (reference/onnxruntime-node.md).
 */
export class CoreLease {
  readonly total: number;
  #free: number;
  readonly #waiting: { cores: number; grant: () => void }[] = [];

  constructor(total: number) {
    this.total = total;
    this.#free = total;
  }

  /** Runs `use` while holding that many cores (at most all of them), waiting for them first. */
  async hold<T>(cores: number, use: () => Promise<T>): Promise<T> {
    const wanted = Math.min(cores, this.total);
    await new Promise<void>((grant) => {
      this.#waiting.push({ cores: wanted, grant });
      this.#grant();
    });
    try {
      return await use();
    } finally {
      this.#free += wanted;
      this.#grant();
    }
  }

  /** Strictly in order: a wide request at the head is not overtaken by narrow ones forever. */
  #grant(): void {
    for (let next = this.#waiting[0]; next !== undefined && next.cores <= this.#free; next = this.#waiting[0]) {
      this.#waiting.shift();
      this.#free -= next.cores;
      next.grant();
    }
  }
}
