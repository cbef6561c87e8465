import { join, resolve } from "node:path";
import { Fault } from "../engine/core/errors.ts";
import { checkSpace } from "../engine/dictionaries/disk-space.ts";
import { exists } from "../engine/dictionaries/formats/plain-file.ts";
import { fetchFiles } from "../engine/dictionaries/hub/download.ts";
import { HubCache } from "../engine/dictionaries/hub/hub-cache.ts";
import type { HubSettings } from "../engine/dictionaries/hub/hub-settings.ts";
import { Hub, type HubFile } from "../engine/dictionaries/hub/hub.ts";
import { LIMITS, MODULES, ONNX_FILES, POOLING, PROMPTS, TOKENIZER, TOKENIZER_CONFIG } from "./sentence-model.ts";

/** Where sentence-embedding models are looked for. */
export interface EmbedderPlaces {
  /** PURSUIT_EMBEDDER_DIR: a model's folder, or one that holds models as owner/name; "": the hub's cache. */
  readonly embedderDir: string;
  readonly hub: HubSettings;
}

const REVISION = "main";
const REQUIRED = [MODULES, POOLING, TOKENIZER, TOKENIZER_CONFIG];
const OPTIONAL = [LIMITS, PROMPTS];

/**
 * Folder of a model on this machine; null where the hub's cache does not hold it.
 * @param name owner/name on the hub
 * @throws Fault where PURSUIT_EMBEDDER_DIR is set, and holds no such model
 */
export async function findModel(name: string, { embedderDir, hub }: EmbedderPlaces): Promise<string | null> {
  if (embedderDir !== "") {
    for (const folder of [join(embedderDir, name), embedderDir])
      if (await exists(join(folder, MODULES))) return resolve(folder);
    throw new Fault("settings", [
      `PURSUIT_EMBEDDER_DIR is ${embedderDir}, and neither it nor ${join(embedderDir, name)} holds ${MODULES} of a sentence-transformers model.`,
    ]);
  }
  const cache = new HubCache(hub.cacheDir);
  const commit = await cache.commitOf(name, REVISION).catch(() => null);
  if (commit === null) return null;
  const folder = cache.snapshot(name, commit);
  const [settings, ...weights] = await Promise.all([MODULES, ...ONNX_FILES].map((file) => exists(join(folder, file))));
  return settings && weights.includes(true) ? folder : null;
}

/**
 * Fetches a model from the hub into its cache. @returns its folder
 * @param onBytes called with a file and the number of its bytes that are there
 * @throws HubFault where the hub cannot be asked; Fault where the repository lacks a file
 */
export async function fetchModel(
  name: string,
  settings: HubSettings,
  onBytes: (file: HubFile, done: number) => void,
): Promise<string> {
  const cache = new HubCache(settings.cacheDir);
  // Throws, and says that it is offline, where the cache does not know the model.
  if (settings.offline) return cache.snapshot(name, await cache.commitOf(name, REVISION));
  const hub = new Hub(settings);
  const commit = await hub.commitOf(name, REVISION);
  const found = await hub.filesOf(name, commit, [...REQUIRED, ...OPTIONAL, ...ONNX_FILES]);
  const paths = new Set(found.map(({ path }) => path));
  const onnx = ONNX_FILES.find((path) => paths.has(path));
  const lacking = [...REQUIRED.filter((path) => !paths.has(path)), ...(onnx === undefined ? [ONNX_FILES[0]] : [])];
  if (lacking.length > 0)
    throw new Fault("import", [
      `${name} holds no ${lacking.join(" and no ")}. Export the model by tools/embedder/export_onnx.py, and set PURSUIT_EMBEDDER_DIR to its folder.`,
    ]);
  const files = found.filter(({ path }) => path === onnx || !ONNX_FILES.some((one) => one === path));
  await checkSpace([[cache.folder, files.reduce((sum, { size }) => sum + size, 0)]]);
  await fetchFiles(hub, cache, files, { repo: name, commit, timeoutMs: settings.timeoutMs, onBytes });
  await cache.remember(name, REVISION, commit);
  return cache.snapshot(name, commit);
}
