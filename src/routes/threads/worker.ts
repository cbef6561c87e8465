import { move, transferableSymbol, valueSymbol } from "piscina";
import { runWireTask, type WireResult, type WireTask } from "./task.ts";

/** Result from a thread: text as UTF-8 bytes, which are moved where a string would be copied. */
export type WorkerResult = Exclude<WireResult, { readonly text: string }>;

/** A thread of the pool: the same functions as on the main thread; results are moved, not copied. */
export default function work(task: WireTask): unknown {
  const result = runWireTask(task);
  if ("text" in result) {
    const bytes = new TextEncoder().encode(result.text);
    return moving({ bytes }, [bytes.buffer]);
  }
  if ("bytes" in result) return moving(result, [result.bytes.buffer]);
  if ("lines" in result) return moving(result, [result.lines.rows.data.buffer as ArrayBuffer]);
  if ("body" in result && "rows" in result.body) return moving(result, [result.body.rows.data.buffer as ArrayBuffer]);
  if ("infer" in result) return moving(result, [result.infer.rows.data.buffer as ArrayBuffer]);
  if ("answer" in result) return moving(result, [result.answer.bytes.buffer]);
  return result;
}

const moving = (value: WorkerResult, buffers: readonly ArrayBuffer[]): unknown =>
  move({ [transferableSymbol]: buffers, [valueSymbol]: value });
