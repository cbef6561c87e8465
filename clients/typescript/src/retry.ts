/** What a proxy answers while no server is behind it. The server's own refusals say `retry-after` where waiting helps. */
const PASSING = new Set([408, 429, 502, 503, 504]);

/** Milliseconds of the first wait where the server names none, and of the longest. */
const FIRST_WAIT = 250;
const LONGEST_WAIT = 8_000;

/**
 * Sends a request again, for as long as the server is busy or cannot be reached. It waits as long as `retry-after` asks,
 * else twice as long each time.
 * @param send sends it once
 * @param patience milliseconds of waiting in all
 * @param repeatable whether it may be sent again where no answer came: a write may have been done
 * @returns the last answer
 */
export async function retrying(
  send: () => Promise<Response>,
  patience: number,
  repeatable: boolean,
  signal: AbortSignal | undefined,
): Promise<Response> {
  const until = Date.now() + patience;
  for (let tries = 0; ; tries++) {
    const answer = await send().catch((error: unknown) => {
      // fetch rejects with a TypeError where the server cannot be reached.
      if (!(error instanceof TypeError) || !repeatable || signal?.aborted) throw error;
      return error;
    });
    const asked = answer instanceof TypeError ? null : askedWait(answer);
    if (answer instanceof Response && asked === null && !isPassing(answer)) return answer;
    const wait = asked ?? backoff(tries);
    if (Date.now() + wait > until) {
      if (answer instanceof TypeError) throw answer;
      return answer;
    }
    if (answer instanceof Response) await answer.body?.cancel();
    await pause(wait, signal);
  }
}

const isPassing = ({ status, headers }: Response): boolean =>
  PASSING.has(status) && headers.get("content-type")?.includes("problem+json") !== true;

/** Milliseconds that the server asks for; null for none. */
function askedWait({ ok, headers }: Response): number | null {
  if (ok) return null;
  const milliseconds = Number(headers.get("retry-after-ms") ?? Number.NaN);
  if (Number.isFinite(milliseconds)) return milliseconds;
  const seconds = Number(headers.get("retry-after") ?? Number.NaN);
  return Number.isFinite(seconds) ? seconds * 1000 : null;
}

/** Doubled each time, with jitter so that clients do not come back together. */
const backoff = (tries: number): number => Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** tries) * (0.5 + Math.random() / 2);

function pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      clearTimeout(timer);
      reject(signal?.reason as Error);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", abort);
      resolve();
    }, milliseconds);
    signal?.addEventListener("abort", abort, { once: true });
  });
}
