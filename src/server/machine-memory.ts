import { readFileSync } from "node:fs";
import { totalmem } from "node:os";
import { dirname, join } from "node:path";
import { setFlagsFromString } from "node:v8";

/** Files with a control group's limits: of version 2, and of version 1's memory controller. */
const LIMITS = { cgroup2: ["memory.max", "memory.high"], cgroup: ["memory.limit_in_bytes"] } as const;

type Version = keyof typeof LIMITS;

/**
 * Bytes that this process may use: the machine's memory, or the tightest limit of its control group and the ancestors.
 * An ancestor may be the only one with a limit, as for a pod's containers.
 * @param total of the machine
 * @param root folder that holds `proc` and `sys`
 */
export function machineMemory(total = totalmem(), root = "/"): number {
  let least = total;
  for (const { version, folder, top } of memoryGroups(root)) {
    for (let at = folder; ; at = dirname(at)) {
      for (const name of LIMITS[version]) least = Math.min(least, readLimit(join(root, at, name)));
      if (at === top || at === dirname(at)) break;
    }
  }
  return least;
}

interface MemoryGroup {
  readonly version: Version;
  /** Folder of this process's group. */
  readonly folder: string;
  /** Mount point of its hierarchy. */
  readonly top: string;
}

/** This process's groups: at most one of each version. */
function memoryGroups(root: string): MemoryGroup[] {
  const groups: MemoryGroup[] = [];
  // "4:memory:/path" in version 1, "0::/path" in version 2.
  for (const line of lines(join(root, "proc/self/cgroup"))) {
    const [, controllers, path] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    if (controllers === undefined || path === undefined) continue;
    const version = controllers === "" ? "cgroup2" : "cgroup";
    if (version === "cgroup" && !controllers.split(",").includes("memory")) continue;
    const mount = mounts(root).find(
      ({ type, options }) => type === version && (type === "cgroup2" || options.includes("memory")),
    );
    if (mount === undefined) continue;
    // A container may see only a part of the hierarchy, whose root is then the mount's.
    const below = mount.root === "/" ? path : path.startsWith(mount.root) ? path.slice(mount.root.length) : "";
    groups.push({ version, folder: join(mount.at, below.includes("..") ? "" : below), top: mount.at });
  }
  return groups;
}

interface Mount {
  readonly root: string;
  readonly at: string;
  readonly type: string;
  readonly options: readonly string[];
}

/** Format in proc_pid_mountinfo(5): "36 35 98:0 /root /at rw,noatime master:1 - type source options". */
function mounts(root: string): Mount[] {
  return lines(join(root, "proc/self/mountinfo")).flatMap((line) => {
    const [before, after] = line.split(" - ");
    const [, , , from, at] = before?.split(" ") ?? [];
    const [type, , options] = after?.split(" ") ?? [];
    return from && at && type ? [{ root: from, at, type, options: options?.split(",") ?? [] }] : [];
  });
}

/** Infinity without a limit: "max", a missing file, or version 1's largest number. */
function readLimit(path: string): number {
  const [text = ""] = lines(path);
  return /^\d+$/.test(text) ? Number(text) : Infinity;
}

function lines(path: string): string[] {
  try {
    return readFileSync(path, "utf8").split("\n");
  } catch {
    return [];
  }
}

/**
 * Lets the heap grow to three times its live size before the next full collection. V8 also counts the buffers of bodies
 * and frames, many times larger than the objects around them: by its own rule it marked all live objects every 70
 * requests of 32 rows, a third of the server's CPU time, although a cheap young collection frees nearly everything
 * (docs/decisions/0014). V8 reads the flag at each collection, so it can be set now.
 */
export function growHeapFreely(): void {
  setFlagsFromString("--heap-growing-percent=200");
}
