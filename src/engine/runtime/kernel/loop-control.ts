/** Shared Int32 control block of the worker threads. */
export const CONTROL = { turn: 0, nextRow: 1, ready: 2, busy: 3, faults: 4, closing: 5 } as const;

export type Control = Int32Array;

export const createControl = (): Control => new Int32Array(new SharedArrayBuffer(4 * Object.keys(CONTROL).length));

/** Makes rows [0, count) available. */
export function publishRows(control: Control, count: number): void {
  Atomics.store(control, CONTROL.ready, count);
  Atomics.notify(control, CONTROL.ready);
}

/** Takes the next free row of a job, −1 if none is left. Waits until the row is available. */
export function takeRow(control: Control, count: number): number {
  const row = Atomics.add(control, CONTROL.nextRow, 1);
  if (row >= count) return -1;
  for (let ready; (ready = Atomics.load(control, CONTROL.ready)) <= row;) Atomics.wait(control, CONTROL.ready, ready);
  return row;
}
