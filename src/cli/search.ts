import { type Command, InvalidArgumentError } from "commander";
import { layoutOf } from "../engine/dictionaries/registry/layouts.ts";
import { Registry, type RegistryEntry } from "../engine/dictionaries/registry/registry.ts";
import { describe, searchRegistry } from "../engine/dictionaries/registry/search.ts";

interface Flags {
  readonly limit: number;
  readonly json?: boolean;
}

/** `pursuit search`: published dictionaries by words, with the line that pulls each. It reads the shipped index only. */
export function registerSearch(program: Command): void {
  program
    .command("search <words...>")
    .description("find published dictionaries by name, model, layer, place, kind or layout, such as: gemma layer 12")
    .option("--limit <n>", "dictionaries shown at most", parseLimit, 10)
    .option("--json", "print a JSON array instead of text")
    .action((words: readonly string[], { limit, json = false }: Flags) => {
      const { entries, source } = Registry.read();
      const { found, count } = searchRegistry(entries, words.join(" "), limit);
      if (json) {
        console.log(JSON.stringify(found.map(asJson), null, 2));
        return;
      }
      if (count === 0) {
        console.log(`None of the ${entries.length} dictionaries of ${source} has all of these words. Take one away.`);
        process.exitCode = 1;
        return;
      }
      console.log(found.map(asText).join("\n"));
      const more =
        count > found.length ? ` Add words to narrow it down, or show more: --limit ${Math.min(count, 100)}.` : "";
      console.log(`${found.length} of ${count} found in ${source}.${more}`);
    });
}

function asText(entry: RegistryEntry): string {
  const { words, refused } = layoutOf(entry);
  return [
    entry.name,
    `  ${entry.kind}, ${words}`,
    `  ${describe(entry)}`,
    refused === undefined ? `  npx pursuit pull ${entry.name}` : `  not served: ${refused}`,
    "",
  ].join("\n");
}

function asJson(entry: RegistryEntry): object {
  const { words, refused } = layoutOf(entry);
  const { name, kind, repo, path, model, l0, neuronpedia } = entry;
  return {
    name,
    kind,
    layout: words,
    description: describe(entry),
    served: refused === undefined,
    ...(refused === undefined ? { pull: `npx pursuit pull ${name}` } : { reason: refused }),
    model,
    repo_id: repo,
    path,
    ...(l0 !== undefined && { l0 }),
    ...(neuronpedia !== undefined && { neuronpedia_id: neuronpedia }),
  };
}

function parseLimit(given: string): number {
  if (/^[1-9]\d{0,5}$/.test(given)) return Number(given);
  throw new InvalidArgumentError("It must be an integer ≥ 1.");
}
