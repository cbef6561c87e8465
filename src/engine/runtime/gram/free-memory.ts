import { MessageChannel } from "node:worker_threads";

/** Nobody is at the other end: what is sent there is gone. */
const { port1: nowhere } = new MessageChannel();
nowhere.close();

/** Bytes under which allocators keep what is freed to themselves, so that it is not fresh the next time. */
const SMALL = 1 << 17;

/**
 * Frees the memory of a large array now and not when garbage is next collected, so that the allocator has it for the next
 * array of that size. Megabytes that are fresh for every run are zeroed by the system, page by page: for the products of
 * a small dictionary that took as long as a third of the matrix product. The array must not be used after that.
 */
export function freeMemory(array: Float32Array): void {
  if (array.buffer.byteLength < SMALL) return;
  nowhere.postMessage(null, [array.buffer as ArrayBuffer]);
}
