import { Fault } from "../engine/core/errors.ts";
import { stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { Presets, SingleBar } from "cli-progress";
import type { Command } from "commander";
import { bytesInWords } from "../engine/dictionaries/disk-space.ts";
import type { HubFile } from "../engine/dictionaries/hub/hub.ts";
import type { PullPlan } from "../engine/dictionaries/hub/pull.ts";
import { idOfTarget, parseTarget } from "../engine/dictionaries/hub/pull-target.ts";
import { layoutOf } from "../engine/dictionaries/registry/layouts.ts";
import { Registry } from "../engine/dictionaries/registry/registry.ts";
import { describe } from "../engine/dictionaries/registry/search.ts";
import { readHubSettings, readSettings } from "../server/config.ts";
import { addLayoutOptions, importFlags, type LayoutFlags, parseId, report, write, type WriteFlags } from "./import.ts";

interface PullFlags extends WriteFlags {
  readonly revision?: string;
  readonly hubCache?: string;
}

/** `pursuit pull`: a published dictionary by its name in the registry, or by its place on a hub → a folder that the server loads. */
export function registerPull(program: Command): void {
  const command = program
    .command("pull <name>")
    .description(
      "fetch a published dictionary and import it: <release>/<id> as pursuit search prints it, or hf://owner/repo[@revision]/path",
    )
    .option("--id <id>", "id of the dictionary; default: made from its published name", parseId)
    .option("--revision <revision>", "branch, tag or commit of the repository; by default main")
    .option("--hub-cache <folder>", "folder for what is fetched, as HF_HUB_CACHE");
  addLayoutOptions(command)
    .option("--models-dir <folder>", "folder of dictionary folders (PURSUIT_MODELS_DIR, default models)")
    .option("--force", "replace a dictionary of that id")
    .option("--dry-run", "print what would be fetched, and fetch nothing")
    .addHelpText(
      "after",
      "\nHF_TOKEN opens gated and private repositories, HF_ENDPOINT names another hub, HF_HUB_OFFLINE=1 uses the cache alone,\n" +
        "HF_HUB_CACHE or HF_HOME move the cache, HF_HUB_DOWNLOAD_TIMEOUT=<seconds> waits longer for a silent connection.",
    )
    .action((name: string, flags: LayoutFlags & PullFlags) => pull(name, flags));
}

async function pull(name: string, flags: LayoutFlags & PullFlags): Promise<void> {
  const { id: named, modelsDir, force = false, dryRun = false, revision, hubCache, ...layout } = flags;
  const target = parseTarget(name, Registry.read(), revision);
  const id = named ?? idOfTarget(target);
  const { modelsDir: configured, memoryLimit } = await readSettings();
  const models = resolve(modelsDir ?? configured);
  if (!force && !dryRun && (await stat(join(models, id)).catch(() => null))) {
    throw new Fault("import", [`${join(models, id)} exists already. Choose another --id, or replace it with --force.`]);
  }
  // Loaded here: the hub's client would slow every other command.
  const { Puller } = await import("../engine/dictionaries/hub/pull.ts");
  const puller = new Puller(readHubSettings(hubCache));
  const given = importFlags(layout);
  const plan = await puller.plan(target, given, memoryLimit);
  console.log(described(name, plan));
  if (dryRun) return;
  const progress = new Progress();
  try {
    await puller.fetch(plan, models, (file, done) => progress.show(file, done));
  } finally {
    progress.stop();
  }
  const understood = await puller.read(plan, given, memoryLimit);
  console.log(report(name, understood));
  await write(understood, { id, force, ...(modelsDir !== undefined && { modelsDir }) });
}

function described(name: string, { target: { repo, entry }, commit, missing, cached }: PullPlan): string {
  return [
    name,
    ...(entry === undefined ? [] : [`  ${entry.kind}, ${layoutOf(entry).words}: ${describe(entry)}`]),
    `  ${repo} at ${commit.slice(0, 12)}`,
    ...cached.map((path) => `  ${path}  in the cache`),
    ...missing.map(({ path, size }) => `  ${path}  ${bytesInWords(size)}`),
  ].join("\n");
}

/** A bar a file on a terminal; a line a file elsewhere. */
export class Progress {
  #bar: SingleBar | null = null;
  #path = "";

  show({ path, size }: HubFile, done: number): void {
    if (path !== this.#path) {
      this.stop();
      this.#path = path;
      if (process.stderr.isTTY) {
        const format = "  {name} [{bar}] {percentage}% of {total} · {eta_formatted}";
        this.#bar = new SingleBar({ format, formatValue: inWords, clearOnComplete: true }, Presets.shades_classic);
        this.#bar.start(size, done, { name: path });
      } else {
        const from = done === 0 ? "" : ` from byte ${done} on`;
        console.error(`fetching ${path}${from} (${bytesInWords(size)})`);
      }
    }
    this.#bar?.update(done);
  }

  stop(): void {
    this.#bar?.stop();
    this.#bar = null;
  }
}

const inWords = (value: number, _options: unknown, type: string): string =>
  type === "total" || type === "value" ? bytesInWords(value) : String(value);
