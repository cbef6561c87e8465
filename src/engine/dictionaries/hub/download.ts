import { createHash, type Hash } from "node:crypto";
import { createReadStream } from "node:fs";
import { type FileHandle, mkdir, open, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import type { HubCache } from "./hub-cache.ts";
import { type Hub, type HubFile, HubFault, pause } from "./hub.ts";

/** Attempts in a row that may bring no byte. One that brings some begins the count anew. */
const ATTEMPTS = 5;

interface DownloadOptions {
  readonly repo: string;
  readonly commit: string;
  /** Milliseconds without a byte after which a connection is made anew. */
  readonly timeoutMs: number;
  /** Called with the number of bytes that are there. */
  readonly onBytes: (done: number) => void;
}

export interface FetchOptions extends Omit<DownloadOptions, "onBytes"> {
  /** Called with a file and the number of its bytes that are there. */
  readonly onBytes: (file: HubFile, done: number) => void;
}

/** Fetches files of one commit into the cache, each only where its bytes are not there yet. @throws HubFault */
export async function fetchFiles(
  hub: Hub,
  cache: HubCache,
  files: readonly HubFile[],
  { repo, commit, timeoutMs, onBytes }: FetchOptions,
): Promise<void> {
  for (const file of files) {
    const blob = cache.blob(repo, file.digest);
    if (!(await cache.holds(repo, file.digest, file.size))) {
      await mkdir(dirname(blob), { recursive: true });
      await download(hub, file, blob, { repo, commit, timeoutMs, onBytes: (done) => onBytes(file, done) });
    }
    await cache.link(repo, commit, file.path, file.digest);
  }
}

/**
 * Downloads a file to `target`, which appears whole and checked, or not at all. Bytes go to `<target>.incomplete` first: a cut
 * download goes on from its last byte, in this call and in later ones.
 * @throws HubFault where the hub fails, or size or digest are not those that it announced
 */
async function download(hub: Hub, file: HubFile, target: string, options: DownloadOptions): Promise<void> {
  const lock = `${target}.lock`;
  await take(lock, file);
  try {
    await downloadAlone(hub, file, target, options);
  } finally {
    await rm(lock, { force: true });
  }
}

/** Makes a file with this process's id, which no other process may have made. @throws HubFault where a living one has */
async function take(lock: string, { path }: HubFile): Promise<void> {
  for (;;) {
    try {
      return await writeFile(lock, String(process.pid), { flag: "wx" });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
    const holder = Number(await readFile(lock, "utf8").catch(() => ""));
    if (holder > 0 && isAlive(holder)) {
      throw new HubFault(
        `Process ${holder} fetches ${path} now. Wait until it has ended; if no pull runs, remove ${lock}.`,
      );
    }
    // Its process was killed.
    await rm(lock, { force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

async function downloadAlone(hub: Hub, file: HubFile, target: string, options: DownloadOptions): Promise<void> {
  const partial = `${target}.incomplete`;
  const continued = await sizeOf(partial);
  let { digest, pieces } = await transfer(hub, file, partial, options);
  if (digest !== file.digest && (continued > 0 || pieces > 1)) {
    // Pieces of different contents, such as those of a file that was replaced meanwhile.
    await rm(partial, { force: true });
    ({ digest, pieces } = await transfer(hub, file, partial, options));
  }
  if (digest !== file.digest) {
    await rm(partial, { force: true });
    throw new HubFault(
      `${options.repo}/${file.path} came with ${file.algorithm} ${digest}; the hub announces ${file.digest}. ` +
        "Nothing was kept. Try again; if it stays so, the file or a mirror before the hub is damaged.",
    );
  }
  await rename(partial, target);
}

/** Brings the partial file to its full size. @returns the digest of its bytes, and by how many connections they came */
async function transfer(hub: Hub, file: HubFile, partial: string, options: DownloadOptions) {
  const handle = await open(partial, "a");
  try {
    let at = (await handle.stat()).size;
    if (at > file.size) {
      await handle.truncate(0);
      at = 0;
    }
    let hash = await hashOf(file, partial, at);
    let pieces = 0;
    for (let attempt = 1; at < file.size;) {
      options.onBytes(at);
      const start = at;
      pieces++;
      try {
        for await (const chunk of chunksOf(hub, file, at, options)) {
          if (at + chunk.length > file.size) throw tooLong(options, file);
          await writeAll(handle, chunk);
          hash.update(chunk);
          at += chunk.length;
          options.onBytes(at);
        }
        if (at < file.size)
          throw new HubFault(`${options.repo}/${file.path} broke off at byte ${at}.`, { retry: true });
      } catch (error) {
        const fault = hub.faultOf(error);
        if (!fault.retry) throw fault;
        attempt = at > start ? 1 : attempt + 1;
        if (attempt > ATTEMPTS) throw cut(options, file, at, fault);
        if (fault.rangeRefused) {
          await handle.truncate(0);
          at = 0;
          hash = await hashOf(file, partial, 0);
        }
        await pause(attempt);
      }
    }
    await handle.sync();
    return { digest: hash.digest("hex"), pieces };
  } finally {
    await handle.close();
  }
}

/** Bytes from `from` on. A connection that sends nothing for too long is aborted. */
async function* chunksOf(hub: Hub, file: HubFile, from: number, { repo, commit, timeoutMs }: DownloadOptions) {
  const controller = new AbortController();
  const abort = (): void => controller.abort(new DOMException("no byte came", "TimeoutError"));
  const timer = setTimeout(abort, timeoutMs);
  try {
    const stream = await hub.read(repo, commit, file, from, controller.signal);
    for await (const chunk of stream as unknown as AsyncIterable<Uint8Array>) {
      timer.refresh();
      yield chunk;
    }
  } finally {
    clearTimeout(timer);
    controller.abort();
  }
}

async function hashOf({ algorithm, size }: HubFile, partial: string, length: number): Promise<Hash> {
  // Git puts a header before the content.
  const hash = algorithm === "sha256" ? createHash("sha256") : createHash("sha1").update(`blob ${size}\0`);
  if (length === 0) return hash;
  for await (const chunk of createReadStream(partial, { end: length - 1, highWaterMark: 1 << 20 }))
    hash.update(chunk as Buffer);
  return hash;
}

async function writeAll(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += (await handle.write(bytes, at, bytes.length - at)).bytesWritten;
}

const sizeOf = (path: string): Promise<number> =>
  stat(path).then(
    ({ size }) => size,
    () => 0,
  );

const tooLong = ({ repo }: DownloadOptions, { path, size }: HubFile): HubFault =>
  new HubFault(
    `${repo}/${path} is longer than the ${size} bytes that the hub announces. Try again, or another mirror.`,
  );

const cut = ({ repo }: DownloadOptions, { path, size }: HubFile, at: number, { message }: HubFault): HubFault =>
  new HubFault(
    `${repo}/${path}: ${at} of ${size} bytes came, and then none in ${ATTEMPTS} attempts. ${message} Run the command again: it goes on from there.`,
  );
