import { readFile } from "node:fs/promises";
import leven from "leven";
import { Fault } from "../engine/core/errors.ts";
import { isObject } from "../engine/core/json-object.ts";
import { flagOf, type Given, type GivenSettings, SETTING_NAMES } from "./settings.ts";

/** `maxBody` → `max-body`: the flag without its dashes. */
const keyOf = (name: (typeof SETTING_NAMES)[number]): string => flagOf(name).slice(2);

const NAME_OF = new Map(SETTING_NAMES.map((name) => [keyOf(name), name]));

/** Most letters by which a misspelt name may differ from a setting's. */
const MISSPELT = 2;

/**
 * Reads settings from a YAML or JSON file. Its names are those of the flags without dashes, its lists are lists or texts
 * with commas.
 * @returns the settings, unchecked, and faults of names and shapes
 * @throws Fault if the file cannot be read or parsed
 */
export async function readConfigFile(
  path: string,
): Promise<{ readonly given: GivenSettings; readonly faults: readonly string[] }> {
  const content = await parse(path);
  const faults: string[] = [];
  const given: Record<string, Given> = {};
  for (const [key, value] of Object.entries(content)) {
    const name = NAME_OF.get(key);
    if (name === undefined) faults.push(`${path}: ${key} is not a setting.${suggestion(key)}`);
    else if (isPlain(value) || (Array.isArray(value) && value.every(isPlain)))
      given[name] = { value, where: `${path}: ${key}` };
    else faults.push(`${path}: ${key} must be a text, a number or a list of texts.`);
  }
  return { given, faults };
}

async function parse(path: string): Promise<object> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    throw new Fault("settings", [`The config file ${path} cannot be read: ${(error as Error).message}.`]);
  }
  // Loaded here: few servers have a file.
  const { parseDocument } = await import("yaml");
  const document = parseDocument(text, { prettyErrors: true });
  const [error] = document.errors;
  // The first line names the place; the lines after it repeat the text, which may hold a key.
  if (error !== undefined)
    throw new Fault("settings", [`${path} is not YAML or JSON: ${error.message.split("\n")[0]}`]);
  let content: unknown;
  try {
    content = document.toJS();
  } catch (fault) {
    throw new Fault("settings", [`${path} cannot be read: ${(fault as Error).message}.`]);
  }
  if (content === null) return {};
  if (!isObject(content)) throw new Fault("settings", [`${path} must hold settings, one a line, such as port: 8080.`]);
  return content;
}

const isPlain = (value: unknown): boolean => ["string", "number", "boolean"].includes(typeof value);

function suggestion(key: string): string {
  const near = [...NAME_OF.keys()].find((one) => leven(one, key.replaceAll("_", "-").toLowerCase()) <= MISSPELT);
  return near === undefined ? ' "pursuit serve --help" lists them, by flag.' : ` Did you mean ${near}?`;
}
