import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { FULL } from "./full.ts";

/**
 * Finds the interpreter of a Python environment that tools/ci-setup prepared. Without one, prints once that the tests
 * of that name are skipped.
 * @param requirements path of its requirements: a change makes it stale
 */
export function preparedPython(name: string, requirements: string): string | null {
  if (!FULL) return null;
  const folder = fileURLToPath(new URL(`../../.cache/ci/${name}/`, import.meta.url));
  const complete = `${folder}complete`;
  if (existsSync(complete) && readFileSync(complete, "utf8") === readFileSync(requirements, "utf8"))
    return `${folder}bin/python`;
  console.log(`SKIPPED ${name}: its Python environment is missing; tools/ci-setup makes it, or says what that needs.`);
  return null;
}
