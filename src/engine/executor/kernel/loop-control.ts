/** Words by which the threads of one loop agree, in shared memory. */
export const CONTROL = { turn: 0, nextRow: 1, busy: 2, faults: 3, closing: 4 } as const;

export type Control = Int32Array;

export const createControl = (): Control => new Int32Array(new SharedArrayBuffer(4 * Object.keys(CONTROL).length));

/** The next row of a job that nobody has taken yet, −1 when there is none. */
export function takeRow(control: Control, count: number): number {
  const row = Atomics.add(control, CONTROL.nextRow, 1);
  return row < count ? row : -1;
}
