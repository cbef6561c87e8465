/** Words by which the threads of one loop agree, in shared memory. */
export const CONTROL = { turn: 0, nextRow: 1, ready: 2, busy: 3, faults: 4, closing: 5 } as const;

export type Control = Int32Array;

export const createControl = (): Control => new Int32Array(new SharedArrayBuffer(4 * Object.keys(CONTROL).length));

/** Rows [0, count) may be taken. */
export function publishRows(control: Control, count: number): void {
  Atomics.store(control, CONTROL.ready, count);
  Atomics.notify(control, CONTROL.ready);
}

/** The next row of a job that nobody has taken yet, −1 when there is none. Waits until it may be taken. */
export function takeRow(control: Control, count: number): number {
  const row = Atomics.add(control, CONTROL.nextRow, 1);
  if (row >= count) return -1;
  for (let ready; (ready = Atomics.load(control, CONTROL.ready)) <= row;) Atomics.wait(control, CONTROL.ready, ready);
  return row;
}
