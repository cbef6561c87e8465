import { Fault } from "../../core/errors.ts";
import { join, posix } from "node:path";
import type { ImportFlags } from "../importing/import-flags.ts";
import { understand } from "../importing/understand.ts";
import type { Understood } from "../importing/understood.ts";
import { layoutOf, type LayoutFiles } from "../registry/layouts.ts";
import { registeredHooks, registeredLayer } from "../registry/search.ts";
import { fetchFiles } from "./download.ts";
import { bytesInWords, checkSpace } from "../disk-space.ts";
import { HubCache } from "./hub-cache.ts";
import type { HubSettings } from "./hub-settings.ts";
import { Hub, type HubFile } from "./hub.ts";
import type { PullTarget } from "./pull-target.ts";
import { filesOfFile, filesOfFolder, listed, NESTED_FOLDERS } from "./repository-files.ts";

/** A dictionary's files on a hub, before they are fetched. */
export interface PullPlan {
  readonly target: PullTarget;
  readonly commit: string;
  /** Files that the cache lacks. */
  readonly missing: readonly HubFile[];
  /** Files that the cache has. */
  readonly cached: readonly string[];
  /** The folder or file to import, in the repository, and the layer of a set. */
  readonly open: string;
  readonly layer?: number;
  /** Bytes that the dictionary takes on disk, about. */
  readonly written: number;
  /** Number of layers, where a whole set of them is fetched. */
  readonly layers?: number;
}

/** Whether files are of a layout that stores 16 bits and whose norm is folded: what is folded is written as float32. */
const foldsBfloat16 = (required: readonly string[]): boolean => {
  const names = new Set(required.map((path) => posix.basename(path)));
  return names.has("hyperparams.json") || (names.has("config.json") && names.has("sae_weights.safetensors"));
};

/** Stored bytes are the least that a set takes in memory. @throws Fault where that is too much */
function checkWhole(layers: number | undefined, files: readonly HubFile[], memoryLimit: number): void {
  const bytes = files.reduce((sum, { size }) => sum + size, 0);
  if (layers === undefined || bytes <= memoryLimit) return;
  throw new Fault("import", [
    `The files of all ${layers} layers are ${bytesInWords(bytes)}; PURSUIT_MEMORY_LIMIT allows ${bytesInWords(memoryLimit)}. Pull one layer as a transcoder: --layer <n>.`,
  ]);
}

/** Fetches dictionaries of a hub through a cache, and reads them as import does. */
export class Puller {
  readonly #hub: Hub;
  readonly #cache: HubCache;
  readonly #settings: HubSettings;

  constructor(settings: HubSettings) {
    this.#settings = settings;
    this.#hub = new Hub(settings);
    this.#cache = new HubCache(settings.cacheDir);
  }

  /**
   * Finds the files that a dictionary needs.
   * @param given flags of the user: a layer names one of a set
   * @param memoryLimit bytes that a dictionary may take: a larger set is not fetched
   * @throws HubFault where the hub cannot be asked; Fault where it holds no such dictionary
   */
  async plan(target: PullTarget, given: ImportFlags, memoryLimit: number): Promise<PullPlan> {
    const { repo, revision } = target;
    const { offline } = this.#settings;
    const commit = await (offline ? this.#cache : this.#hub).commitOf(repo, revision);
    const { required, optional, ...opened } = await this.#filesOf(target, commit, given);
    const paths = [...required, ...optional];
    if (offline) {
      const found = await Promise.all(paths.map((path) => this.#cache.sizeOf(repo, commit, path)));
      this.#requireAll(
        target,
        required.filter((_, i) => found[i] === null),
        "the cache",
      );
      return { target, commit, missing: [], cached: paths.filter((_, i) => found[i] !== null), written: 0, ...opened };
    }
    const files = await this.#hub.filesOf(repo, commit, paths);
    const there = new Set(files.map(({ path }) => path));
    this.#requireAll(
      target,
      required.filter((path) => !there.has(path)),
      `revision ${revision}`,
    );
    checkWhole(opened.layers, files, memoryLimit);
    const sizes = await Promise.all(files.map(({ path }) => this.#cache.sizeOf(repo, commit, path)));
    return {
      target,
      commit,
      missing: files.filter(({ size }, i) => sizes[i] !== size),
      cached: files.filter(({ size }, i) => sizes[i] === size).map(({ path }) => path),
      written: files.reduce((sum, { size }) => sum + size, 0) * (foldsBfloat16(required) ? 2 : 1),
      ...opened,
    };
  }

  /**
   * Fetches what the cache lacks.
   * @param modelsDir folder that the dictionary will be written to: there must be room for it, too
   * @param onBytes called with a file and the number of its bytes that are there
   */
  async fetch(
    { target: { repo, revision }, commit, missing, written }: PullPlan,
    modelsDir: string,
    onBytes: (file: HubFile, done: number) => void,
  ): Promise<void> {
    const bytes = missing.reduce((sum, { size }) => sum + size, 0);
    await checkSpace([
      [this.#cache.folder, bytes],
      [modelsDir, written],
    ]);
    await fetchFiles(this.#hub, this.#cache, missing, { repo, commit, timeoutMs: this.#settings.timeoutMs, onBytes });
    if (!this.#settings.offline) await this.#cache.remember(repo, revision, commit);
  }

  /**
   * Reads the fetched files as import does, with what the registry says as flags.
   * @param given flags of the user, which win
   * @throws Fault, FormatError
   */
  async read({ target, commit, open, layer }: PullPlan, given: ImportFlags, memoryLimit: number): Promise<Understood> {
    const { repo, path, entry } = target;
    const root = this.#cache.snapshot(repo, commit);
    const registered = entry === undefined ? undefined : await layoutOf(entry).flags?.(entry, root);
    // The cache's own folder names say nothing of a role, and the repository's does.
    const named = /transcoder/i.test(`${repo}/${path}`) && posix.basename(open).startsWith("params.");
    const flags: ImportFlags = {
      ...(named && { role: "transcoder" }),
      ...(layer !== undefined && { layer }),
      ...registered?.flags,
      ...given,
    };
    const understood = await understand(join(root, open), flags, memoryLimit);
    return {
      ...understood,
      notes: [...understood.notes, ...(registered?.notes ?? []), ...this.#notesOf(target, understood)],
      provenance: { ...understood.provenance, ...this.#provenanceOf(target, commit, understood) },
    };
  }

  #notesOf({ entry }: PullTarget, { weights, provenance }: Understood): readonly string[] {
    if (entry === undefined) return [];
    const { kind, role = "autoencoder", settings } = weights;
    const skip = "skip" in settings && settings.skip === true;
    const read = [kind, ...(skip ? ["skip"] : []), ...(role === "transcoder" ? [role] : [])].join(" ");
    const { norm_factor: factor } = provenance;
    const differs = (said: number): boolean => typeof factor === "number" && Math.abs(factor / said - 1) > 1e-5;
    const { model_from_pretrained_kwargs: model } = entry.overrides;
    return [
      ...(entry.kind.split(" or ").includes(read)
        ? []
        : [`The registry lists it as ${entry.kind}; the files say ${read}, and they decide.`]),
      ...(entry.normFactor !== undefined && differs(entry.normFactor)
        ? [`The registry's norm factor is ${entry.normFactor}, the files' ${String(factor)}; the files decide.`]
        : []),
      ...(model === undefined ? [] : [`Rows must come from a model loaded with ${JSON.stringify(model)}.`]),
    ];
  }

  #provenanceOf({ repo, path, entry }: PullTarget, commit: string, { provenance }: Understood) {
    const origin = { repo_id: repo, repo_path: path, revision: commit };
    if (entry === undefined) return origin;
    const layer = registeredLayer(entry);
    const [hook, hookOut] = registeredHooks(entry);
    return {
      ...origin,
      release: entry.release,
      sae_id: entry.id,
      convention: layoutOf(entry).convention ?? "SAELens",
      ...(entry.neuronpedia !== undefined && { neuronpedia_id: entry.neuronpedia }),
      ...(provenance["model_name"] === undefined && { model_name: entry.model }),
      ...(provenance["layer"] === undefined && layer !== null && { layer }),
      ...(hook !== undefined && provenance["hook_name"] === undefined && { hook_name: hook }),
      ...(hookOut !== undefined && provenance["hook_name_out"] === undefined && { hook_name_out: hookOut }),
      ...(entry.explained !== undefined &&
        entry.l0 !== undefined &&
        entry.explained > 0 && { held_out: [{ atoms: entry.l0, explained_variance: entry.explained }] }),
      ...(Object.keys(entry.overrides).length > 0 && { registry_overrides: entry.overrides }),
    };
  }

  /** The registry's layout, or the one that the files' names show. */
  async #filesOf({ repo, path, entry }: PullTarget, commit: string, { layer }: ImportFlags): Promise<LayoutFiles> {
    if (entry !== undefined) return layoutOf(entry).files(entry);
    const source = this.#settings.offline ? this.#cache : this.#hub;
    const parent = posix.dirname(path) === "." ? "" : posix.dirname(path);
    const siblings = await source.list(repo, commit, parent);
    const found = siblings.find((one) => one.path === path);
    if (found?.type === "file") {
      const names = siblings.filter(({ type }) => type === "file").map((one) => posix.basename(one.path));
      return filesOfFile(path, names);
    }
    if (path !== "" && found === undefined) {
      const place = parent === "" ? repo : `${repo}/${parent}`;
      throw new Fault("import", [
        `${repo} holds no ${path}. ${place} holds ${listed(siblings.map((one) => one.path))}.`,
      ]);
    }
    const entries = path === "" ? siblings : await source.list(repo, commit, path);
    const nested = entries.filter(
      ({ type, path: one }) => type === "directory" && NESTED_FOLDERS.includes(posix.basename(one)),
    );
    const inside = await Promise.all(nested.map((one) => source.list(repo, commit, one.path)));
    const files = [...entries, ...inside.flat()].filter(({ type }) => type === "file");
    return filesOfFolder(
      path,
      files.map((one) => posix.relative(path, one.path)),
      layer,
    );
  }

  #requireAll({ repo }: PullTarget, lacking: readonly string[], where: string): void {
    if (lacking.length === 0) return;
    const advice = this.#settings.offline ? " HF_HUB_OFFLINE is set; run the command once without it." : "";
    throw new Fault("import", [`${repo} lacks ${lacking.join(", ")} in ${where}, and the layout needs it.${advice}`]);
  }
}
