/** How slow a client may be. */
export interface Patience {
  /** Milliseconds after which a client that is too slow is given up. */
  readonly stallMs: number;
  /** Bytes a second that it must send of a body, or read of an answer, at least. */
  readonly minRate: number;
}

/** Bytes that a client must move in each half of `stallMs`; at least one. */
export const leastBytes = ({ stallMs, minRate }: Patience): number => Math.max(1, (minRate * stallMs) / 2000);

export interface ClientWatch {
  readonly patience: Patience;
  /** Bytes that the client has moved so far. */
  readonly progress: () => number;
  /** Whether it is the client's turn: the server's own work is not its fault. */
  readonly waitsForClient: () => boolean;
  readonly onStall: () => void;
}

/**
 * Calls `onStall` once when a client was slower than {@link leastBytes} for `stallMs` (to half as much again) while it was
 * its turn.
 * @returns ends the watch
 */
export function watchClient({ patience, progress, waitsForClient, onStall }: ClientWatch): () => void {
  const least = leastBytes(patience);
  let seen = progress();
  let slow = false;
  const look = (): void => {
    const now = progress();
    const slowAgain = now - seen < least && waitsForClient();
    seen = now;
    if (slow && slowAgain) {
      stop();
      onStall();
    } else slow = slowAgain;
  };
  let looking: NodeJS.Immediate | undefined;
  // Bytes that came while the event loop was busy are read between a timer and an immediate.
  const timer = setInterval(() => (looking = setImmediate(look)), patience.stallMs / 2);
  const stop = (): void => {
    clearInterval(timer);
    clearImmediate(looking);
  };
  return stop;
}
