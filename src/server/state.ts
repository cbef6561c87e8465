import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, ftruncateSync, mkdirSync, openSync, readFileSync, writeSync } from "node:fs";
import { hostname } from "node:os";
import { join, resolve } from "node:path";
import { postgresBackend, sqliteBackend } from "../engine/serving/state/database.ts";
import { StateStore } from "../engine/serving/state/state-store.ts";
import type { StoreLog } from "../engine/serving/state/steering-files.ts";
import type { Settings } from "./settings.ts";

type StateSettings = Pick<Settings, "stateDir" | "stateUrl" | "stateLimit">;

/** Steering sets and labels of a server: in PostgreSQL where it is set, else in SQLite. It is opened when first used. */
export function stateStore({ stateDir, stateUrl, stateLimit: limit }: StateSettings, log: StoreLog): StateStore {
  const folder = resolve(stateDir);
  const backend = stateUrl === "" ? sqliteBackend(join(folder, "state.db")) : postgresBackend(stateUrl);
  return new StateStore(backend, { limit, log, files: join(folder, "steering") });
}

/**
 * Opens the state of a server. A folder is locked for this process first; replicas share a PostgreSQL database.
 * @throws Error that names the process holding the folder
 */
export async function openState(settings: StateSettings, log: StoreLog): Promise<StateStore> {
  if (settings.stateUrl === "")
    await lockStateFolder(resolve(settings.stateDir), (message) => log("warn", message, {}));
  const store = stateStore(settings, log);
  await store.open();
  return store;
}

const LOCK_FILE = "lock";

/** Exit code of `flock -n` when another open file holds the lock. */
const TAKEN = 1;

/**
 * Locks the state folder for this process: two servers writing the same files would undo each other's changes. The
 * kernel holds the lock for the open file, so it ends with this process for any reason, and other containers over the
 * same folder see it.
 * @param warn called with the reason if the folder cannot be locked; the server still serves
 * @throws Error that names the process holding the folder
 */
async function lockStateFolder(folder: string, warn: (message: string) => void): Promise<void> {
  const path = join(folder, LOCK_FILE);
  const unlocked = (why: string): void =>
    warn(`${folder} could not be locked (${why}): see that no other server has it as its PURSUIT_STATE_DIR.`);
  let file: number;
  try {
    mkdirSync(folder, { recursive: true });
    // Never closed, because that would end the lock; nor passed to later child processes.
    file = openSync(path, "a+");
  } catch (error) {
    return unlocked((error as Error).message);
  }
  const code = await flock(file);
  if (code === TAKEN) {
    closeSync(file);
    const holder = readFileSync(path, "utf8").trim();
    throw new Error(
      `The state folder ${folder} is in use by another server${holder && ` (${holder})`}: stop that one, or set ` +
        "PURSUIT_STATE_DIR or --state-dir to a folder of this server's own.",
    );
  }
  if (code !== 0) return unlocked(String(code));
  ftruncateSync(file);
  writeSync(file, `process ${process.pid} on ${hostname()}\n`);
}

/** Locks the descriptor's file. @returns the exit code of flock, or why it could not be run */
async function flock(file: number): Promise<number | string> {
  try {
    const [code] = await once(spawn("flock", ["-n", "3"], { stdio: ["ignore", "ignore", "ignore", file] }), "exit");
    return code as number;
  } catch (error) {
    return (error as Error).message;
  }
}
