import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

/** Prints rows as base64 float32 with --rows-only, and its faults as sentences. */
const SCRIPT = fileURLToPath(new URL("../../examples/embed.py", import.meta.url));

/**
 * Rows [n · d] of sentences by examples/embed.py, in a Python of the user's.
 * @throws Error that says what to install where Python or the embedder is missing, or that the rows are of another width.
 */
export function embedSentences(sentences: readonly string[], d: number, python: string): Promise<Float32Array> {
  const run = spawnSync(python, [SCRIPT, "--rows-only", ...sentences], { encoding: "utf8", maxBuffer: 1 << 28 });
  if (run.error) {
    const { code } = run.error as NodeJS.ErrnoException;
    const what = code === "ENOENT" ? `There is no ${python}` : `${python} cannot be run (${code})`;
    return Promise.reject(new Error(`${what}; install Python 3.11 and name it with --python.`));
  }
  if (run.status !== 0)
    return Promise.reject(new Error(run.stderr.trim() || `${python} ended with exit code ${run.status}.`));
  const bytes = Buffer.from(run.stdout.trim(), "base64");
  const width = bytes.length / 4 / sentences.length;
  if (width !== d) {
    const message = `all-MiniLM-L6-v2 gives rows of ${width}; this dictionary takes rows of ${d}: it is over another model.`;
    return Promise.reject(new Error(message));
  }
  return Promise.resolve(new Float32Array(new Uint8Array(bytes).buffer));
}
