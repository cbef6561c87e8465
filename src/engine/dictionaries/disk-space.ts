import { stat, statfs } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { Fault } from "../core/errors.ts";

/**
 * Checks that file systems have room.
 * @param needs bytes that are about to be written below folders, which need not exist yet
 * @throws Fault with both numbers
 */
export async function checkSpace(needs: readonly (readonly [folder: string, bytes: number])[]): Promise<void> {
  const devices = new Map<number, { folder: string; bytes: number; free: number }>();
  for (const [folder, bytes] of needs) {
    const existing = await nearest(resolve(folder));
    const { dev } = await stat(existing);
    const { bavail, bsize } = await statfs(existing);
    const known = devices.get(dev);
    if (known === undefined) devices.set(dev, { folder, bytes, free: bavail * bsize });
    else known.bytes += bytes;
  }
  for (const { folder, bytes, free } of devices.values()) {
    if (bytes <= free) continue;
    throw new Fault("import", [
      `${folder} has ${bytesInWords(free)} free, and this needs ${bytesInWords(bytes)}. ` +
        "Make room, or name other folders: HF_HUB_CACHE or --hub-cache for what is fetched, --models-dir for the dictionary.",
    ]);
  }
}

async function nearest(folder: string): Promise<string> {
  for (let at = folder; ; at = dirname(at)) {
    if (await stat(at).catch(() => null)) return at;
  }
}

/** "302 MB" */
export function bytesInWords(bytes: number): string {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  const power = bytes < 1000 ? 0 : Math.min(Math.floor(Math.log10(bytes) / 3), units.length - 1);
  return `${Number((bytes / 1000 ** power).toPrecision(3))} ${units[power]}`;
}
