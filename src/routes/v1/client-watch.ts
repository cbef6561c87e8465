/** What is known of a client that a stream goes to and from. */
export interface ClientWatch {
  readonly stallMs: number;
  /** Grows with every byte that the client sent or took. */
  readonly progress: () => number;
  /** Whether it is the client's turn: what we are still working on is not its fault. */
  readonly waitsForClient: () => boolean;
  readonly onStall: () => void;
}

/**
 * Tells once when a client neither sent nor took a byte for `stallMs` to twice that, while it was its turn.
 * @returns ends the watch
 */
export function watchClient({ stallMs, progress, waitsForClient, onStall }: ClientWatch): () => void {
  let seen = progress();
  let idle = false;
  const timer = setInterval(() => {
    const now = progress();
    const stalled = now === seen && waitsForClient();
    seen = now;
    if (!stalled) idle = false;
    else if (idle) {
      clearInterval(timer);
      onStall();
    } else idle = true;
  }, stallMs);
  return () => clearInterval(timer);
}
