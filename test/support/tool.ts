import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

/**
 * Finds a program that tools/ci-setup prepared, or else on the PATH. Without one, prints once that the tests that need it are skipped.
 * @param folder below .cache/ci
 */
export function findTool(name: string, folder: string): string | null {
  const prepared = fileURLToPath(new URL(`../../.cache/ci/${folder}/`, import.meta.url));
  const folders = existsSync(`${prepared}complete`) ? [`${prepared}bin`] : [];
  folders.push(...(process.env["PATH"] ?? "").split(delimiter));
  const found = folders.map((path) => join(path, name)).find((path) => existsSync(path));
  if (found !== undefined) return found;
  console.log(`SKIPPED ${name}: the program is missing; tools/ci-setup installs it, or says what that needs.`);
  return null;
}
