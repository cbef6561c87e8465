/**
 * Whether whoever asked for something has gone. An AbortSignal in little: making one, listening to it and letting it go
 * again took a twentieth of the main thread's time under single-row requests.
 */
export class Cancellation {
  #cancelled = false;
  #listeners: (() => void)[] = [];

  get cancelled(): boolean {
    return this.#cancelled;
  }

  /** Calls every listener, once. */
  cancel(): void {
    if (this.#cancelled) return;
    this.#cancelled = true;
    const listeners = this.#listeners;
    this.#listeners = [];
    for (const listener of listeners) listener();
  }

  /** Has it called when this is cancelled; one that was before calls nobody. */
  listen(listener: () => void): void {
    if (!this.#cancelled) this.#listeners.push(listener);
  }

  unlisten(listener: () => void): void {
    const at = this.#listeners.indexOf(listener);
    if (at >= 0) this.#listeners.splice(at, 1);
  }
}
