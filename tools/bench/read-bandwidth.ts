/**
 * How fast the threads together read memory in order, from beyond the caches.
 *
 * Each thread owns a part of one buffer, has written every page of it (a page that was never written is the kernel's one
 * page of zeros, which stays in cache), and looks for a byte that only its last place holds: `indexOf` of a Buffer is the C
 * library's vectorised memchr. That the byte was found there proves that all before it was read.
 */
import { once } from "node:events";
import { Worker } from "node:worker_threads";

/** Many times the largest cache of today's servers. */
const BYTES = 768 * 2 ** 20;

/** No CPU's memory is read so fast, so a figure beyond it is a fault of the measurement. */
export const FASTEST_READ = 1e12;

const CONTROL = { turn: 0, busy: 1, faults: 2, closing: 3 } as const;

const READER = `
  const { workerData: { shared, from, to, control, CONTROL } } = require("node:worker_threads");
  const part = Buffer.from(shared, from, to - from).fill(1);
  part[part.length - 1] = 2;
  for (let turn = 0; ;) {
    Atomics.sub(control, CONTROL.busy, 1);
    Atomics.notify(control, CONTROL.busy);
    Atomics.wait(control, CONTROL.turn, turn);
    turn = Atomics.load(control, CONTROL.turn);
    if (Atomics.load(control, CONTROL.closing)) break;
    if (part.indexOf(2) !== part.length - 1) Atomics.add(control, CONTROL.faults, 1);
  }`;

export class ReadBandwidth {
  readonly #control: Int32Array;
  readonly #threads: number;
  readonly #bytes: number;
  readonly #exits: readonly Promise<unknown>[];

  private constructor(control: Int32Array, bytes: number, exits: readonly Promise<unknown>[]) {
    this.#control = control;
    this.#threads = exits.length;
    this.#bytes = bytes;
    this.#exits = exits;
  }

  /** Takes `bytes` of memory until it is closed. */
  static async create(threads: number, bytes: number = BYTES): Promise<ReadBandwidth> {
    const control = new Int32Array(new SharedArrayBuffer(4 * Object.keys(CONTROL).length));
    const shared = new SharedArrayBuffer(bytes);
    Atomics.store(control, CONTROL.busy, threads);
    const bounds = Array.from({ length: threads + 1 }, (_, i) => Math.round((i * bytes) / threads));
    const workers = bounds.slice(1).map((to, i) => {
      const workerData = { shared, from: bounds[i], to, control, CONTROL };
      return new Worker(READER, { eval: true, workerData });
    });
    const exits = workers.map((worker) => once(worker, "exit"));
    // Workers come up on this thread's event loop, so it may not block until they have.
    await Promise.all(workers.map((worker) => once(worker, "online")));
    const bandwidth = new ReadBandwidth(control, bytes, exits);
    bandwidth.#wait();
    return bandwidth;
  }

  /** Bytes a second of one reading of the whole buffer. @throws Error when that is beyond belief */
  measure(): number {
    const control = this.#control;
    Atomics.store(control, CONTROL.busy, this.#threads);
    const started = performance.now();
    Atomics.add(control, CONTROL.turn, 1);
    Atomics.notify(control, CONTROL.turn);
    this.#wait();
    const rate = (this.#bytes / (performance.now() - started)) * 1000;
    if (Atomics.load(control, CONTROL.faults) > 0) throw new Error("a thread did not read its part of the buffer");
    if (!(rate < FASTEST_READ)) throw new Error(`a read of ${(rate / 1e9).toFixed(0)} GB/s is impossible`);
    return rate;
  }

  async close(): Promise<void> {
    Atomics.store(this.#control, CONTROL.closing, 1);
    Atomics.add(this.#control, CONTROL.turn, 1);
    Atomics.notify(this.#control, CONTROL.turn);
    await Promise.all(this.#exits);
  }

  #wait(): void {
    const control = this.#control;
    for (let busy; (busy = Atomics.load(control, CONTROL.busy)) > 0;) Atomics.wait(control, CONTROL.busy, busy);
  }
}
