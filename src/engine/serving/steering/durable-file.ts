import { mkdir, open, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";

/** Begins the names of files that are still being written; what is left of one after a crash is nobody's. */
export const PARTIAL_PREFIX = ".partial-";

/**
 * Replaces a file so that, whenever the machine stops, there is the old one or the new one, whole; resolves once the new
 * one would outlast that. The name is durable only when its folder is, and a new folder only when the one above it is.
 */
export async function writeDurably(file: string, text: string): Promise<void> {
  const folder = dirname(file);
  await makeDurably(folder);
  const partial = join(folder, `${PARTIAL_PREFIX}${process.pid}`);
  const handle = await open(partial, "w", 0o600);
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(partial, file);
  await syncFolder(folder);
}

/** A file that is gone already is deleted. */
export async function deleteDurably(file: string): Promise<void> {
  await rm(file, { force: true });
  await syncFolder(dirname(file));
}

async function makeDurably(folder: string): Promise<void> {
  const first = await mkdir(folder, { recursive: true });
  if (first === undefined) return;
  for (let made = folder; ; made = dirname(made)) {
    await syncFolder(dirname(made));
    if (made === first) return;
  }
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
