import { MessageChannel } from "node:worker_threads";

/** A port without a reader: whatever is posted to it is freed. */
const { port1: nowhere } = new MessageChannel();
nowhere.close();

/** Allocators keep smaller blocks themselves, so freeing them early saves nothing. */
const SMALL = 1 << 17;

/**
 * Frees a large array at once, before the garbage collector would, so that the allocator can reuse it. Fresh megabytes
 * are zeroed by the system page by page: for a small dictionary that took a third of the matrix product's time. The
 * array must not be used afterwards.
 */
export function freeMemory(array: Float32Array): void {
  if (array.buffer.byteLength < SMALL) return;
  nowhere.postMessage(null, [array.buffer as ArrayBuffer]);
}
