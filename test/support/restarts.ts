import { createGate, type Gate } from "./gate.ts";

/** Restarts of an executor that is none. */
export class Restarts {
  #under: Gate | null = null;

  /** As of the scheduler's Executor. */
  readonly ready = (): Promise<void> | null => this.#under?.passed ?? null;

  /** It restarts from now on, until what is returned is called. */
  begin(): () => void {
    const gate = (this.#under = createGate());
    return () => {
      this.#under = null;
      gate.open();
    };
  }
}
