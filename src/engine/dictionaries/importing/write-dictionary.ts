import { Fault } from "../../core/errors.ts";
import { type FileHandle, mkdir, open, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import type { DictionaryManifest } from "../../core/dictionary.ts";
import type { DictionaryWeights } from "../../core/dictionary-weights.ts";
import type { HalfType } from "../../core/float-formats.ts";
import { checkSpace } from "../disk-space.ts";
import { MANIFEST_FILE, manifestText, readManifest } from "../manifest.ts";
import { atomsByBlock, type LoadedWeights, loadWeights, tensorShapes, WEIGHTS_FILE } from "../weights.ts";
import { exists } from "../formats/plain-file.ts";
import { encodeSafetensors, type FloatTensor } from "../formats/safetensors.ts";
import type { Understood } from "./understood.ts";

export interface WriteOptions {
  readonly modelsDir: string;
  readonly id: string;
  /** Replace a dictionary of that id. */
  readonly force: boolean;
}

/**
 * Writes a dictionary folder under `modelsDir` and reads it back as the server will. The folder appears whole or not at
 * all: it is written and synced under a hidden name, which the server does not look at, and then renamed.
 * @returns the folder, and what the server's own check of it found.
 * @throws Fault when the id is taken, Fault when the weights are unsound.
 */
export async function writeDictionary(
  { weights, provenance, groups, stored, defaultBudget }: Understood,
  { modelsDir, id, force }: WriteOptions,
): Promise<{ readonly folder: string; readonly loaded: LoadedWeights }> {
  const folder = join(modelsDir, id);
  if (!force && (await exists(folder))) {
    throw new Fault("import", [`${folder} exists already. Choose another --id, or replace it with --force.`]);
  }
  const { role = "autoencoder", d, dIn = d, m, kind, layers, blocks, settings: encoder } = weights;
  const layered = { ...(layers !== undefined && { layers }), ...(blocks && { blocks }) };
  const optional = { ...layered, ...(groups && { groups }), ...(defaultBudget && { defaultBudget }) };
  const manifest: DictionaryManifest = { id, kind, role, dIn, dOut: d, m, ...optional, encoder, provenance };
  const partial = join(modelsDir, `.${id}.importing-${process.pid}`);
  try {
    await mkdir(partial, { recursive: true });
    const chunks = encodeSafetensors(tensorsOf(weights, manifest, stored));
    await checkSpace([[modelsDir, chunks.reduce((bytes, chunk) => bytes + chunk.byteLength, 0)]]);
    await writeSynced(join(partial, WEIGHTS_FILE), chunks);
    await writeSynced(join(partial, MANIFEST_FILE), [Buffer.from(manifestText(manifest))]);
    const warnings: string[] = [];
    const loaded = await loadWeights(partial, await readManifest(partial, (warning) => warnings.push(warning)));
    await synced(partial);
    await swapIn(partial, folder, force);
    await synced(modelsDir);
    return { folder, loaded: { ...loaded, warnings: [...warnings, ...loaded.warnings] } };
  } finally {
    await rm(partial, { recursive: true, force: true });
  }
}

function tensorsOf(
  weights: DictionaryWeights,
  manifest: DictionaryManifest,
  stored?: HalfType,
): Readonly<Record<string, FloatTensor>> {
  const { atoms, blocks, center, tensors = {} } = weights;
  const held = { ...(blocks ? atomsByBlock(weights) : { atoms }), ...(center && { center }), ...tensors };
  const shapes = tensorShapes(manifest);
  return Object.fromEntries(
    Object.entries(held).map(([name, data]) => [name, { shape: shapes.get(name)!, data, ...(stored && { stored }) }]),
  );
}

/** Gives `partial` the name `folder`. A folder of that name is renamed away first and removed last. */
async function swapIn(partial: string, folder: string, force: boolean): Promise<void> {
  const old = `${partial}.replaced`;
  if (force && (await exists(folder))) {
    await rename(folder, old);
    try {
      await rename(partial, folder);
    } catch (error) {
      await rename(old, folder);
      throw error;
    }
    await rm(old, { recursive: true, force: true });
  } else await rename(partial, folder);
}

async function writeSynced(path: string, chunks: readonly Uint8Array[]): Promise<void> {
  const handle = await open(path, "w");
  try {
    for (const chunk of chunks) await writeAll(handle, chunk);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** One write() of Node moves 2 GiB at most. */
async function writeAll(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) {
    const { bytesWritten } = await handle.write(bytes, at, Math.min(bytes.length - at, 1 << 30));
    at += bytesWritten;
  }
}

/** Makes the names in a folder durable. */
async function synced(folder: string): Promise<void> {
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
