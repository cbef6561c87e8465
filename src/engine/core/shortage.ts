/** What the system lacks, by its error code, with the limit to raise. */
const SHORTAGES: Readonly<Record<string, string>> = {
  EMFILE: "no file descriptor is free (EMFILE); raise ulimit -n",
  ENFILE: "the machine has no free file descriptor (ENFILE)",
  EAGAIN: "no further process or thread is allowed (EAGAIN); raise ulimit -u or the container's pids limit",
  ENOMEM: "no memory is free (ENOMEM)",
};

/** What the system says of the same in errors that carry no code of their own. */
const CODE_IN_TEXT = /\b(?:EMFILE|ENFILE|EAGAIN|ENOMEM)\b/;
const NO_THREAD = /Resource temporarily unavailable/;

/**
 * The shortage that an error tells of; null where it is another fault. What failed by a shortage may succeed later: try
 * again, or tell the caller to.
 */
export function shortageOf(error: unknown): string | null {
  if (!(error instanceof Error)) return null;
  const { code = "", message } = error as NodeJS.ErrnoException;
  const inText = NO_THREAD.test(message) ? "EAGAIN" : CODE_IN_TEXT.exec(message)?.[0];
  return SHORTAGES[code] ?? SHORTAGES[inText ?? ""] ?? null;
}
