import type { StoreLog } from "./steering-files.ts";

/** Milliseconds between two lines about lost state, at least. */
const INTERVAL = 60_000;

/**
 * Logs that the database of saved state fails, and that it works again: one line each, however many requests fail meanwhile. A database
 * that fails and works in turns gets one line a minute.
 */
export class OutageLog {
  readonly #place: string;
  readonly #log: StoreLog;
  readonly #now: () => number;
  /** null while it works. `full`: only saves fail. */
  #outage: { full: boolean; failures: number; told: boolean } | null = null;
  #logged = -Infinity;

  /** @param now monotonic milliseconds */
  constructor(place: string, log: StoreLog, now: () => number = () => performance.now()) {
    this.#place = place;
    this.#log = log;
    this.#now = now;
  }

  /** @param full whether the disk is full, so that reads still work */
  failed(error: unknown, full: boolean): void {
    this.#outage ??= { full, failures: 0, told: false };
    this.#outage.full = full;
    this.#outage.failures++;
    if (this.#outage.told || this.#now() - this.#logged < INTERVAL) return;
    this.#outage.told = true;
    this.#logged = this.#now();
    const what = full ? "saved" : "read or saved";
    this.#log("error", `Steering sets and labels cannot be ${what}: ${this.#place}: ${faultOf(error)}.`, {});
  }

  succeeded(what: "read" | "save"): void {
    if (this.#outage === null || (this.#outage.full && what === "read")) return;
    const { failures, told } = this.#outage;
    this.#outage = null;
    const message = `Steering sets and labels can be read and saved again: ${this.#place}; failures: ${failures}.`;
    if (told) this.#log("info", message, {});
  }
}

/** An error in words, without a full stop. */
export function faultOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // Several addresses of one name: their faults are inside.
  const inner = error instanceof AggregateError ? error.errors.map(faultOf).join("; ") : error.message;
  return inner.replace(/\.$/, "");
}
