import type { EncoderSession } from "../../src/engine/runtime/process/encoder-session.ts";

/** Has a session do all that makes it faster, such as making its Gram matrix. */
export async function buildGramFully(session: EncoderSession): Promise<void> {
  while ((await session.buildGramStep?.())?.more);
}
