import type { EncoderSession } from "../../src/engine/executor/encoder-session.ts";

/** Has a session do all that makes it faster, such as making its Gram matrix. */
export async function improveFully(session: EncoderSession): Promise<void> {
  while (((await session.improve?.())?.next ?? null) !== null);
}
