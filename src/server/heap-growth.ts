import { setFlagsFromString } from "node:v8";

/**
 * Lets the heap grow to three times its live size before the next full collection. V8 also counts the buffers of bodies
 * and frames, many times larger than the objects around them: by its own rule it marked all live objects every 70
 * requests of 32 rows, a third of the server's CPU time, although a cheap young collection frees nearly everything
 * (docs/decisions/0014). V8 reads the flag at each collection, so it can be set now.
 */
export function growHeapFreely(): void {
  setFlagsFromString("--heap-growing-percent=200");
}
