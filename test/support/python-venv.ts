import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);
const CACHE = fileURLToPath(new URL("../../node_modules/.cache/", import.meta.url));

/**
 * A Python virtual environment with these requirements, made once and kept in node_modules/.cache until they change.
 * @param name of its folder
 * @param requirements path of a pinned requirements.txt
 * @returns the path of its interpreter
 * @throws Error that says what is missing
 */
export async function pythonVenv(name: string, requirements: string): Promise<string> {
  const folder = join(CACHE, name);
  const python = join(folder, "bin", "python");
  const complete = join(folder, "complete");
  const wanted = createHash("sha256").update(readFileSync(requirements)).digest("hex");
  if (read(complete) === wanted) return python;
  rmSync(folder, { recursive: true, force: true });
  await run("python3", ["-m", "venv", folder]).catch((error: Error) => {
    throw new Error(`This test needs python3 with its venv module (Debian: python3-venv): ${error.message}`);
  });
  const install = [
    "-m",
    "pip",
    "install",
    "--quiet",
    "--no-compile",
    "--disable-pip-version-check",
    "-r",
    requirements,
  ];
  await run(python, install).catch((error: Error) => {
    throw new Error(`This test needs the packages of ${requirements}, and pip could not get them: ${error.message}`);
  });
  writeFileSync(complete, wanted);
  return python;
}

function read(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null;
  }
}
