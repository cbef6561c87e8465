/** Limits on slow clients. */
export interface Patience {
  /** Milliseconds after which a slow client is disconnected. */
  readonly stallMs: number;
  /** Minimum bytes a second that it must send of a body or read of an answer. */
  readonly minRate: number;
}

/** Minimum bytes that a client must move in each half of `stallMs`; at least one. */
export const leastBytes = ({ stallMs, minRate }: Patience): number => Math.max(1, (minRate * stallMs) / 2000);

export interface ClientWatch {
  readonly patience: Patience;
  /** Bytes moved by the client so far. */
  readonly progress: () => number;
  /** Whether the server waits for the client: its own work is not the client's fault. */
  readonly waitsForClient: () => boolean;
  readonly onStall: () => void;
}

/**
 * Calls `onStall` once when a client was slower than {@link leastBytes} for `stallMs` (up to half as much again) while
 * the server waited for it.
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
  // Bytes that arrived while the event loop was busy are read between a timer and an immediate.
  const timer = setInterval(() => (looking = setImmediate(look)), patience.stallMs / 2);
  const stop = (): void => {
    clearInterval(timer);
    clearImmediate(looking);
  };
  return stop;
}
