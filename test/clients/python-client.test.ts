/** clients/python: its own tests against the built server, its types and lint, its packages, and the Python of README and docs. */
import { execFile } from "node:child_process";
import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { beforeAll, describe, expect, it } from "vitest";
import { pythonVenv } from "../support/python-venv.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const CLIENT = `${ROOT}clients/python`;
const CACHE = `${ROOT}node_modules/.cache/python-client-checks`;

let python: string | null = null;

beforeAll(async () => {
  mkdirSync(CACHE, { recursive: true });
  python = await pythonVenv("python-client", `${CLIENT}/requirements.txt`).catch((error: Error) => {
    // Node alone must do for every other test.
    console.warn(`SKIPPED python client: ${error.message.split("\n")[0]}`);
    return null;
  });
}, 300_000);

/** What a module of the virtual environment prints; its output is the error's where it fails. */
async function run(module: string, ...args: readonly string[]): Promise<string> {
  const options = { cwd: CLIENT, env: { ...process.env, PYTHONDONTWRITEBYTECODE: "1" }, maxBuffer: 1 << 26 };
  const ran = promisify(execFile)(python!, ["-m", module, ...args], options);
  const { stdout } = await ran.catch((error: Error & { readonly stdout: string; readonly stderr: string }) => {
    throw new Error(`python -m ${module} failed:\n${error.stdout}\n${error.stderr}`);
  });
  return stdout;
}

describe("the Python client", () => {
  it("passes its tests", { timeout: 600_000 }, async (context) => {
    if (python === null) return context.skip();
    const said = await run("pytest", "-p", "no:cacheprovider", "-rs");
    expect(said).toMatch(/\d+ passed/);
  });

  it("passes mypy --strict and ruff", { timeout: 300_000 }, async (context) => {
    if (python === null) return context.skip();
    expect(await run("mypy", "--cache-dir", `${CACHE}/mypy`)).toContain("no issues found");
    await run("ruff", "check", "--no-cache", ".");
    await run("ruff", "format", "--no-cache", "--check", ".");
  });
});
