import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";

/** A TypeScript file that runs in a process of its own and is talked to by messages. */
export class ChildScript {
  readonly #child: ChildProcess;
  readonly #name: string;
  readonly #exit: Promise<unknown>;

  constructor(script: URL, args: readonly string[] = []) {
    const file = fileURLToPath(script);
    this.#name = basename(file);
    this.#child = fork(file, args, { execArgv: ["--import", "tsx"], serialization: "advanced" });
    this.#exit = once(this.#child, "exit");
  }

  tell(message: Parameters<ChildProcess["send"]>[0]): void {
    this.#child.send(message);
  }

  /** What it says next. @throws Error where it ends instead */
  said(): Promise<unknown> {
    const ended = async (): Promise<never> => {
      await this.#exit;
      throw new Error(`${this.#name} ended with ${String(this.#child.exitCode ?? this.#child.signalCode)}`);
    };
    return Promise.race([once(this.#child, "message").then(([message]) => message as unknown), ended()]);
  }

  async end(): Promise<void> {
    this.#child.kill();
    await this.#exit;
  }
}
