import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "./until.ts";

/** Where Debian keeps the programs of each release. */
const DEBIAN = "/usr/lib/postgresql";

/** A PostgreSQL of a test's own, over a Unix socket in a folder of its own. */
export interface Postgres {
  readonly url: string;
  /** Ends it as a crash would. */
  kill(): Promise<void>;
  /** Starts it again over the same data. */
  start(): Promise<void>;
  /** Ends it and removes its data. */
  remove(): Promise<void>;
}

/** Folder of PostgreSQL's programs, or null with the reason printed. */
export function findPostgres(): string | null {
  const releases = existsSync(DEBIAN) ? readdirSync(DEBIAN).toSorted((a, b) => Number(b) - Number(a)) : [];
  const found = releases.map((release) => join(DEBIAN, release, "bin")).find((bin) => existsSync(join(bin, "initdb")));
  if (found !== undefined) return found;
  console.log("SKIPPED: there is no PostgreSQL (Debian: postgresql). tools/ci-setup says how to get it.");
  return null;
}

/** PostgreSQL refuses to run as root. Debian's package makes a user for it. */
function otherUser(): { readonly uid?: number; readonly gid?: number } {
  if (process.getuid?.() !== 0) return {};
  const id = (flag: string, user: string): number => Number(execFileSync("id", [flag, user], { encoding: "utf8" }));
  const user = ["postgres", "nobody"].find((name) => {
    try {
      return id("-u", name) > 0;
    } catch {
      return false;
    }
  })!;
  return { uid: id("-u", user), gid: id("-g", user) };
}

/** Starts a PostgreSQL with an empty database. @param bin as {@link findPostgres} returns it */
export async function startPostgres(bin: string): Promise<Postgres> {
  const folder = mkdtempSync(join(tmpdir(), "pursuit-pg-"));
  const user = otherUser();
  chmodSync(folder, 0o755);
  if (user.uid !== undefined) chownSync(folder, user.uid, user.gid!);
  const data = join(folder, "data");
  const options = { ...user, cwd: folder, env: { PATH: process.env["PATH"], LC_ALL: "C" } };
  execFileSync(join(bin, "initdb"), ["-D", data, "-U", "pursuit", "-A", "trust", "-E", "UTF8", "--no-sync"], {
    ...options,
    stdio: "ignore",
  });
  const flags = ["-D", data, "-k", folder, "-c", "listen_addresses=", "-c", "shared_buffers=16MB"];
  let server: ChildProcess;
  const start = async (): Promise<void> => {
    server = spawn(join(bin, "postgres"), flags, { ...options, stdio: "ignore" });
    await until(() => {
      if (server.exitCode !== null) throw new Error("PostgreSQL ended at its start");
      try {
        const query = ["-h", folder, "-U", "pursuit", "-d", "postgres", "-c", "select 1"];
        execFileSync(join(bin, "psql"), query, { stdio: "ignore" });
        return true;
      } catch {
        return false;
      }
    });
  };
  const kill = async (): Promise<void> => {
    if (server.exitCode !== null || server.signalCode !== null) return;
    const ended = once(server, "exit");
    // Immediate shutdown: connections break, and the next start recovers from the log.
    server.kill("SIGQUIT");
    await ended;
  };
  await start();
  return {
    url: `postgres:///postgres?host=${encodeURIComponent(folder)}&user=pursuit`,
    kill,
    start,
    async remove() {
      await kill();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
