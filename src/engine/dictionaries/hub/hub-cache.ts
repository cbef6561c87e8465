import { copyFile, mkdir, readdir, readFile, rename, rm, stat, symlink, writeFile } from "node:fs/promises";
import { dirname, join, relative, resolve } from "node:path";
import { HubFault } from "./hub.ts";

const COMMIT = /^[0-9a-f]{40}$/;

/**
 * Files of model repositories in the layout of Hugging Face's own cache: models--owner--name/blobs/<digest>, refs/<revision> and
 * snapshots/<commit>/<path>, a link to the blob. Python's huggingface_hub reads and writes the same.
 */
export class HubCache {
  readonly folder: string;

  constructor(folder: string) {
    this.folder = resolve(folder);
  }

  #repository(repo: string): string {
    return join(this.folder, `models--${repo.replace("/", "--")}`);
  }

  /** Folder of a commit's files, by their paths in the repository. */
  snapshot(repo: string, commit: string): string {
    return join(this.#repository(repo), "snapshots", commit);
  }

  /** Where a file's bytes lie, whatever its name. */
  blob(repo: string, digest: string): string {
    return join(this.#repository(repo), "blobs", digest);
  }

  /** Whether a file's bytes are there already, under whatever name. */
  holds(repo: string, digest: string, size: number): Promise<boolean> {
    return stat(this.blob(repo, digest)).then(
      (found) => found.size === size,
      () => false,
    );
  }

  /** The commit that a revision stood for when it was last asked. @throws HubFault where it never was */
  async commitOf(repo: string, revision: string): Promise<string> {
    if (COMMIT.test(revision)) return revision;
    const text = await readFile(join(this.#repository(repo), "refs", revision), "utf8").catch(() => "");
    if (COMMIT.test(text.trim())) return text.trim();
    throw new HubFault(
      `HF_HUB_OFFLINE is set, and the cache ${this.folder} does not hold ${repo}@${revision}. Run the command once without it.`,
    );
  }

  /** Keeps the commit of a revision for {@link HubCache.commitOf}. */
  async remember(repo: string, revision: string, commit: string): Promise<void> {
    if (revision === commit) return;
    const path = join(this.#repository(repo), "refs", revision);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, commit);
  }

  /** The size of a file of a commit; null where it is not there. */
  sizeOf(repo: string, commit: string, path: string): Promise<number | null> {
    return stat(join(this.snapshot(repo, commit), path)).then(
      (found) => (found.isFile() ? found.size : null),
      () => null,
    );
  }

  /** Files and folders in a folder of a commit. */
  async list(repo: string, commit: string, folder: string) {
    const entries = await readdir(join(this.snapshot(repo, commit), folder), { withFileTypes: true }).catch(() => []);
    return entries.map((entry) => ({
      path: folder === "" ? entry.name : `${folder}/${entry.name}`,
      type: entry.isDirectory() ? "directory" : "file",
    }));
  }

  /** Gives a blob its path in a commit. Where links are not allowed it is copied. */
  async link(repo: string, commit: string, path: string, digest: string): Promise<void> {
    const pointer = join(this.snapshot(repo, commit), path);
    const blob = this.blob(repo, digest);
    await mkdir(dirname(pointer), { recursive: true });
    const fresh = `${pointer}.${process.pid}`;
    try {
      await symlink(relative(dirname(pointer), blob), fresh);
    } catch {
      await copyFile(blob, fresh);
    }
    await rename(fresh, pointer).catch(async (error: unknown) => {
      await rm(fresh, { force: true });
      throw error;
    });
  }
}
