/** Helper thread of a loop: sleeps until a job arrives, then works on its rows beside the session's thread. */
import { parentPort, receiveMessageOnPort, workerData } from "node:worker_threads";
import { CONTROL, type Control, createLoop, type LoopTask, takeRow } from "./loop-threads.ts";

const { task, control } = workerData as { task: LoopTask; control: Control };
if (parentPort === null) throw new Error("loop-worker runs as a worker thread of the executor");
const port = parentPort;
const loop = createLoop(task);

for (let turn = 0; ;) {
  Atomics.wait(control, CONTROL.turn, turn);
  if (Atomics.load(control, CONTROL.closing) === 1) break;
  turn = Atomics.load(control, CONTROL.turn);
  // The job was posted before the turn began.
  const received = receiveMessageOnPort(port);
  if (received === undefined) continue;
  const job = received.message as { readonly count: number };
  try {
    loop.run(job, () => takeRow(control, job.count));
  } catch (error) {
    Atomics.add(control, CONTROL.faults, 1);
    console.error(error);
  }
  Atomics.sub(control, CONTROL.busy, 1);
  Atomics.notify(control, CONTROL.busy);
}
port.close();
