import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { MODELS } from "./settings.ts";

/** Dictionaries that ship with the program. */
const SHIPPED = fileURLToPath(new URL("../../models", import.meta.url));

/**
 * The folder to read dictionaries from. Where none is named and there is no `models` here, as after `npx`, it is that of
 * the dictionaries that ship with the program. Commands that write use the setting itself.
 * @param modelsDir the setting
 */
export function modelsFolder(modelsDir: string): string {
  const named = resolve(modelsDir);
  return modelsDir === MODELS && !existsSync(named) ? SHIPPED : named;
}
