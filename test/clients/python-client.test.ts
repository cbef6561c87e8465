/** clients/python: its own tests against the built server, its types and its lint. tools/ci-setup installs what it needs. Full run only. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { preparedPython } from "../support/prepared-python.ts";

const CLIENT = fileURLToPath(new URL("../../clients/python/", import.meta.url));
const CACHE = fileURLToPath(new URL("../../.cache/ci/python-client/", import.meta.url));

const python = preparedPython("python-client", `${CLIENT}requirements.txt`);

/** What a Python module prints on standard output; where it fails, all of its output is in the error. */
async function run(module: string, ...args: readonly string[]): Promise<string> {
  const options = { cwd: CLIENT, env: { ...process.env, PYTHONDONTWRITEBYTECODE: "1" }, maxBuffer: 1 << 26 };
  const ran = promisify(execFile)(python!, ["-m", module, ...args], options);
  const { stdout } = await ran.catch((error: Error & { readonly stdout: string; readonly stderr: string }) => {
    throw new Error(`python -m ${module} failed:\n${error.stdout}\n${error.stderr}`);
  });
  return stdout;
}

describe.runIf(python !== null)("the Python client", () => {
  it("passes its tests", { timeout: 600_000 }, async () => {
    expect(await run("pytest", "-p", "no:cacheprovider")).toMatch(/\d+ passed/);
  });

  it("passes mypy --strict and ruff", { timeout: 300_000 }, async () => {
    expect(await run("mypy", "--cache-dir", `${CACHE}mypy`)).toContain("no issues found");
    await run("ruff", "check", "--no-cache", ".");
    await run("ruff", "format", "--no-cache", "--check", ".");
  });
});
