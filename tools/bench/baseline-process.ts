import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

/** The names of tools/baselines/baselines.py. */
export const BASELINES = ["overcomplete", "saelens", "torch.compile"] as const;
export type Baseline = (typeof BASELINES)[number];

/** And of tools/baselines/orthogonal.py. */
export const ORTHOGONAL_BASELINES = ["SPAMS", "scikit-learn", "batched-omp"] as const;
export type OrthogonalBaseline = (typeof ORTHOGONAL_BASELINES)[number];

export interface BaselineCodes {
  readonly us_per_row: readonly number[];
  readonly indptr: readonly number[];
  readonly indices: readonly number[];
  readonly values: readonly number[];
}

/** The longest that a baseline may take over one answer, compilation included. */
const PATIENCE_SECONDS = 400;

/** A Python process for one baseline, so that no baseline inherits what another did to PyTorch. One question at a time. */
export class BaselineProcess {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #gone: Promise<unknown>;
  #complaints = "";

  constructor(python: string, file: "baselines.py" | "orthogonal.py" | "one_pass.py" = "baselines.py") {
    // OpenBLAS's switches are there for other programs on the machine: baselines run as they would for their users.
    const { OPENBLAS_CORETYPE: _core, OPENBLAS_L2_SIZE: _cache, ...env } = process.env;
    const script = fileURLToPath(new URL(`../baselines/${file}`, import.meta.url));
    this.#child = spawn(python, [script], { stdio: ["pipe", "pipe", "pipe"], env });
    this.#child.stderr!.on("data", (text: Buffer) => {
      this.#complaints = (this.#complaints + text.toString()).slice(-2000);
    });
    // A write to a process that is gone; that it is gone is found out by the answer that does not come.
    this.#child.stdin!.on("error", () => {});
    this.#gone = new Promise((resolve) => {
      this.#child.once("close", resolve);
      this.#child.once("error", (error) => {
        this.#complaints = error.message;
        resolve(error);
      });
    });
    this.#lines = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]();
  }

  /** @throws Error with the baseline's own message, or the end of what Python said when it is gone. */
  async ask<Answer>(request: object): Promise<Answer> {
    this.#child.stdin!.write(`${JSON.stringify(request)}\n`);
    const slow = setTimeout(() => {
      this.#complaints = `no answer within ${PATIENCE_SECONDS} s`;
      this.#child.kill("SIGKILL");
    }, PATIENCE_SECONDS * 1000);
    const next = await Promise.race([this.#lines.next(), this.#gone.then(() => null)]);
    clearTimeout(slow);
    if (!next || next.done) throw new Error(this.#complaints.trim().split("\n").at(-1) || "Python ended");
    const answer = JSON.parse(next.value) as Answer & { readonly error?: string };
    if (answer.error !== undefined) throw new Error(answer.error);
    return answer;
  }

  async close(): Promise<void> {
    this.#child.stdin!.end();
    await this.#gone;
  }
}
