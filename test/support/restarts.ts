import { createGate, type Gate } from "./gate.ts";

/** Restarts of an executor that does not exist. */
export class Restarts {
  #under: Gate | null = null;

  /** As in the scheduler's Executor. */
  readonly ready = (): Promise<void> | null => this.#under?.passed ?? null;

  /** Starts a restart. @returns ends it */
  begin(): () => void {
    const gate = (this.#under = createGate());
    return () => {
      this.#under = null;
      gate.open();
    };
  }
}
