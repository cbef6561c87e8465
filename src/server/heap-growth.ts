import { setFlagsFromString } from "node:v8";

/**
 * Lets the heap grow to three times what a collection left before the next one of all of it. V8 also counts the buffers
 * of bodies and frames, which are many times the objects around them: by its own rule it marked all live objects every
 * 70 requests of 32 rows, a third of the server's processor time, where the cheap collection of what is young frees
 * nearly all (docs/decisions/0014). V8 reads the flag at each collection, so that it may be set now.
 */
export function growHeapFreely(): void {
  setFlagsFromString("--heap-growing-percent=200");
}
