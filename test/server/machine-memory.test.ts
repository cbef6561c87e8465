import { mkdirSync, writeFileSync } from "node:fs";
import { totalmem } from "node:os";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { machineMemory } from "../../src/server/machine-memory.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";
import { execFileSync } from "node:child_process";

const GiB = 2 ** 30;
const UNLIMITED = "9223372036854771712";

/** A machine of 8 GiB with these files. */
function memoryOf(files: Readonly<Record<string, string>>): number {
  const root = temporaryFolder();
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(join(root, dirname(path)), { recursive: true });
    writeFileSync(join(root, path), `${text}\n`);
  }
  return machineMemory(8 * GiB, root) / GiB;
}

const V1 = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory";
const CPU = "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu";
const V2 = "41 31 0:38 / /sys/fs/cgroup rw,relatime shared:9 - cgroup2 cgroup2 rw";

describe("machineMemory", () => {
  it("is the machine's where no control group limits it", () => {
    expect(memoryOf({})).toBe(8);
    const unlimited = { "proc/self/cgroup": "4:memory:/a", "proc/self/mountinfo": V1 };
    expect(memoryOf({ ...unlimited, "sys/fs/cgroup/memory/a/memory.limit_in_bytes": UNLIMITED })).toBe(8);
    expect(memoryOf({ "proc/self/cgroup": "0::/", "proc/self/mountinfo": V2, "sys/fs/cgroup/memory.max": "max" })).toBe(
      8,
    );
  });

  it.each([
    ["own", { "a/b": 1, a: 2, "": 4 }, 1],
    ["parent's", { "a/b": 4, a: 2 }, 2],
    ["root's", { "": 3 }, 3],
  ])("is the tightest of the group and its ancestors, version 1: its %s", (_whose, limits, expected) => {
    const files = Object.entries(limits).map(([group, limit]) => [
      join("sys/fs/cgroup/memory", group, "memory.limit_in_bytes"),
      String(limit * GiB),
    ]);
    const own = { "proc/self/cgroup": `5:cpu:/other\n4:memory:/a/b\n0::/`, "proc/self/mountinfo": `${CPU}\n${V1}` };
    expect(memoryOf({ ...own, ...Object.fromEntries(files) })).toBe(expected);
  });

  it.each([
    ["own", { "a/b/memory.max": 1, "a/memory.max": 2 }, 1],
    ["parent's", { "a/memory.max": 2 }, 2],
    ["throttling one", { "a/memory.max": 2, "a/b/memory.high": 1.5 }, 1.5],
  ])("is the tightest of the group and its ancestors, version 2: its %s", (_whose, limits, expected) => {
    const files = Object.entries(limits).map(([file, limit]) => [join("sys/fs/cgroup", file), String(limit * GiB)]);
    const own = { "proc/self/cgroup": "0::/a/b", "proc/self/mountinfo": V2, "sys/fs/cgroup/a/b/memory.max": "max" };
    expect(memoryOf({ ...own, ...Object.fromEntries(files) })).toBe(expected);
  });

  it("finds the group in a container, whose mount shows a part of the hierarchy", () => {
    const mount = "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory";
    const limits = { "sys/fs/cgroup/memory/memory.limit_in_bytes": String(2 * GiB) };
    expect(memoryOf({ "proc/self/cgroup": "4:memory:/docker/abc", "proc/self/mountinfo": mount, ...limits })).toBe(2);
    const below = { "sys/fs/cgroup/memory/x/memory.limit_in_bytes": String(GiB) };
    const inner = { "proc/self/cgroup": "4:memory:/docker/abc/x", "proc/self/mountinfo": mount };
    expect(memoryOf({ ...inner, ...limits, ...below })).toBe(1);
    // Of a group outside what its namespace shows.
    const outside = { "proc/self/cgroup": "0::/../../x", "proc/self/mountinfo": V2 };
    expect(memoryOf({ ...outside, "sys/fs/cgroup/memory.max": String(4 * GiB) })).toBe(4);
  });

  it("reads this machine's", () => {
    const memory = machineMemory();
    expect(memory).toBeGreaterThan(2 ** 26);
    expect(memory).toBeLessThanOrEqual(totalmem());
  });
});

it("sets a flag that this V8 knows: it says nothing of one that it does not", () => {
  const options = execFileSync(process.execPath, ["--v8-options"], { encoding: "utf8", maxBuffer: 1 << 24 });
  expect(options).toMatch(/^\s+--heap-growing-percent /m);
});
