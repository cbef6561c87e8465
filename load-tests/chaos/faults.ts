import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { findPostgres, type Postgres, startPostgres } from "../../test/support/postgres.ts";
import { isAlive } from "../../test/support/process-figures.ts";
import { runtimeOf, type ServerOptions } from "../../test/support/running-server.ts";
import { MATCHING_PURSUIT, TOPK } from "../scenario.ts";
import { pause, type Traffic } from "./traffic.ts";
import type { WatchedServer } from "./watched-server.ts";

export interface FaultRun {
  readonly server: WatchedServer;
  readonly traffic: Traffic;
  /** Share of the usual number of injections, 1 in full. */
  readonly share: number;
}

/** What is done to a server under traffic. */
export interface Fault {
  readonly name: string;
  readonly does: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly options?: ServerOptions;
  /** Why it cannot be done on this machine; absent: it can. */
  readonly missing?: () => string | null;
  /** Called before the server starts. @returns further settings of it */
  readonly before?: () => void | Promise<Readonly<Record<string, string>>>;
  /** Called after it has ended. */
  readonly after?: () => void | Promise<void>;
  /** @returns how often, and what else was seen */
  readonly inject: (run: FaultRun) => Promise<{ readonly times: number; readonly seen?: string }>;
}

/** Sends a signal to the runtime process of each dictionary in turn, while its requests run. */
function signal(name: NodeJS.Signals, times: number, env: Readonly<Record<string, string>> = {}): Fault {
  return {
    name: `runtime ${name}`,
    does: `${name} to runtime processes, one dictionary after the other`,
    env,
    async inject({ server, traffic, share }) {
      const count = Math.max(1, Math.round(times * share));
      for (let i = 0; i < count; i++) {
        await traffic.answered(20);
        process.kill(await runtimeOf(server, i % 2 === 0 ? MATCHING_PURSUIT : TOPK), name);
        // Until its end or hang is noticed the server is as before.
        if (name === "SIGSTOP") await restarts(server, i + 1);
        await server.settled();
      }
      return { times: count };
    },
  };
}

/** Resolves when runtime processes were restarted so often in all. */
async function restarts(server: WatchedServer, times: number): Promise<void> {
  for (;;) {
    const text = await (await fetch(`${server.base}/metrics`)).text();
    const counts = [...text.matchAll(/^pursuit_runtime_restarts_total\{.*\} (\d+)$/gm)].map(([, n]) => Number(n));
    if (counts.reduce((sum, n) => sum + n, 0) >= times) return;
    await pause(100);
  }
}

const isRoot = (): boolean => process.getuid?.() === 0;

const DISK = "/tmp/pursuit-chaos-disk";

const fullDisk: Fault = {
  name: "full disk",
  does: "the state folder's disk (4 MiB) is filled, steering sets are written, the disk is emptied",
  options: { stateDir: join(DISK, "state") },
  missing: () => (isRoot() ? null : "mounting a tmpfs needs root"),
  before() {
    mkdirSync(DISK, { recursive: true });
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=4m", "tmpfs", DISK]);
  },
  after() {
    execFileSync("umount", [DISK]);
    rmdirSync(DISK);
  },
  async inject({ server, traffic }) {
    const put = (name: string): Promise<number> => putSet(server, name);
    const before = await put("before");
    const filler = join(DISK, "filler");
    // Until nothing fits.
    execFileSync("sh", ["-c", `cat /dev/zero > ${filler} 2>/dev/null || true`]);
    const full: number[] = [];
    for (let i = 0; i < 5; i++) full.push(await put(`full-${i}`));
    await traffic.answered(100);
    execFileSync("rm", [filler]);
    const after = await put("after");
    const kept = await fetch(`${server.base}/v1/dictionaries/${MATCHING_PURSUIT}/steering/before`);
    await kept.arrayBuffer();
    const seen = `a set: ${before} before, ${[...new Set(full)].join(" and ")} while full, ${after} afterwards; the first one is ${kept.status === 200 ? "there" : "LOST"}`;
    return { times: 1, seen };
  },
};

/** Saves a steering set. @returns the status */
async function putSet({ base }: WatchedServer, name: string): Promise<number> {
  const body = JSON.stringify({ edits: [{ feature: 1, op: "remove" }] });
  const headers = { "content-type": "application/json" };
  const url = `${base}/v1/dictionaries/${MATCHING_PURSUIT}/steering/${name}`;
  const answer = await fetch(url, { method: "PUT", headers, body });
  await answer.arrayBuffer();
  return answer.status;
}

const postgres: { readonly bin: string | null; running: Postgres | null } = { bin: findPostgres(), running: null };

const lostPostgres: Fault = {
  name: "lost PostgreSQL",
  does: "PostgreSQL ends as in a crash, twice, steering sets are written, it starts again",
  env: { PURSUIT_LOG_LEVEL: "info" },
  missing: () => (postgres.bin === null ? "PostgreSQL is not installed" : null),
  async before() {
    postgres.running = await startPostgres(postgres.bin!);
    return { PURSUIT_STATE_URL: postgres.running.url };
  },
  after: () => postgres.running!.remove(),
  async inject({ server, traffic }) {
    const statuses = { before: [] as number[], lost: [] as number[], after: [] as number[] };
    for (let turn = 0; turn < 2; turn++) {
      statuses.before.push(await putSet(server, `before-${turn}`));
      await postgres.running!.kill();
      for (let i = 0; i < 20; i++) statuses.lost.push(await putSet(server, `lost-${turn}-${i}`));
      await traffic.answered(100);
      await postgres.running!.start();
      statuses.after.push(await putSet(server, `after-${turn}`));
    }
    const kept = await fetch(`${server.base}/v1/dictionaries/${MATCHING_PURSUIT}/steering/before-0`);
    await kept.arrayBuffer();
    const [before, lost, after] = Object.values(statuses).map((each) => [...new Set(each)].join(" and "));
    const lines = server.log().match(/Steering sets and labels can/g)?.length ?? 0;
    const seen =
      `a set: ${before} before, ${lost} while it is lost, ${after} afterwards; the first one is ` +
      `${kept.status === 200 ? "there" : "LOST"}; ${lines} lines in the log for ${statuses.lost.length} writes refused`;
    return { times: 2, seen };
  },
};

const openFiles: Fault = {
  name: "EMFILE",
  does: "with `ulimit -n 256`, other clients open 400 connections and keep them",
  options: { prefix: ["prlimit", "--nofile=256:256"] },
  async inject({ server, traffic }) {
    const sockets: Socket[] = [];
    for (let i = 0; i < 400; i++) {
      const socket = connect(server.port, "127.0.0.1");
      socket.on("error", () => {});
      sockets.push(socket);
      if (i % 20 === 19) await traffic.answered(2);
    }
    await traffic.answered(100);
    const left = sockets.filter((socket) => !socket.destroyed).length;
    const { files } = server.held();
    for (const socket of sockets) socket.destroy();
    return { times: 400, seen: `${left} of 400 were left open, ${files} of 256 files in use` };
  },
};

const GROUPS = ["/sys/fs/cgroup/memory", "/sys/fs/cgroup"] as const;
const GROUP_V1 = existsSync(join(GROUPS[0], "memory.limit_in_bytes"));
const GROUP = join(GROUP_V1 ? GROUPS[0] : GROUPS[1], "pursuit-chaos");
const GROUP_BYTES = 800 * 2 ** 20;

const memoryLimit: Fault = {
  name: "memory limit",
  does: "in a control group of 800 MiB, another process takes memory until the kernel ends a runtime process, three times",
  options: { prefix: ["sh", "-c", `echo $$ > ${GROUP}/cgroup.procs; exec "$@"`, "sh"] },
  missing: () =>
    isRoot() && (GROUP_V1 || existsSync("/sys/fs/cgroup/cgroup.controllers"))
      ? null
      : "it needs root and a memory controller",
  before() {
    mkdirSync(GROUP, { recursive: true });
    writeFileSync(join(GROUP, GROUP_V1 ? "memory.limit_in_bytes" : "memory.max"), String(GROUP_BYTES));
  },
  after: () => rmdirSync(GROUP),
  async inject({ server, traffic, share }) {
    const times = Math.max(1, Math.round(3 * share));
    const ended: string[] = [];
    for (let i = 0; i < times; i++) {
      ended.push(await squeeze(server));
      await server.settled();
      await traffic.answered(20);
    }
    return { times, seen: `the kernel ended ${ended.join(", ")}` };
  },
};

/** Processes of the group that the kernel has ended. */
function endedByKernel(): number {
  const file = join(GROUP, GROUP_V1 ? "memory.oom_control" : "memory.events");
  return Number(/oom_kill (\d+)/.exec(readFileSync(file, "utf8"))![1]);
}

/**
 * Starts processes of 8 MiB in the group until the kernel ends a process, and ends them at once: what it ends is restarted, and the server
 * would be the next to be ended while they are there.
 * @returns what the kernel ended
 */
async function squeeze(server: WatchedServer): Promise<string> {
  // tail keeps a line that does not end.
  const script = `echo $$ > ${GROUP}/cgroup.procs; head -c 8M /dev/zero | tail | sleep 60`;
  const others: ChildProcess[] = [];
  const runtimes = server.runtimes();
  const before = endedByKernel();
  while (endedByKernel() === before && others.length < 100) {
    others.push(spawn("sh", ["-c", script], { stdio: "ignore", detached: true }));
    for (let i = 0; i < 20 && endedByKernel() === before; i++) await pause(5);
  }
  for (const other of others) process.kill(-other.pid!, "SIGKILL");
  const running = others.filter(({ exitCode, signalCode }) => exitCode === null && signalCode === null);
  await Promise.all(running.map((other) => once(other, "exit")));
  const ended = runtimes.filter((pid) => !isAlive(pid)).length;
  return `${ended} of ${runtimes.length} runtime processes when others had ${8 * others.length} MiB`;
}

const LIBFAKETIME = [
  "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
  "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
];
const CLOCK = "/tmp/pursuit-chaos-clock";

const clockJump: Fault = {
  name: "clock jump",
  does: "the wall clock jumps: an hour ahead, a day back, a year ahead, and home",
  env: {
    LD_PRELOAD: LIBFAKETIME.find((file) => existsSync(file)) ?? "",
    FAKETIME_TIMESTAMP_FILE: CLOCK,
    FAKETIME_NO_CACHE: "1",
    FAKETIME_DONT_FAKE_MONOTONIC: "1",
    DONT_FAKE_MONOTONIC: "1",
  },
  missing: () => (LIBFAKETIME.some((file) => existsSync(file)) ? null : "libfaketime is not installed"),
  before: () => writeFileSync(CLOCK, "+0\n"),
  async inject({ server, traffic }) {
    const years: string[] = [];
    for (const offset of ["+1h", "-1d", "+1y", "+0"]) {
      writeFileSync(CLOCK, `${offset}\n`);
      await traffic.answered(60);
      const date = (await fetch(`${server.base}/health/live`)).headers.get("date") ?? "";
      years.push(date.replace(/^\w+, (.*) \d\d GMT$/, "$1").slice(0, 17));
    }
    await server.settled();
    return { times: 4, seen: `its answers were of ${years.join(", ")}` };
  },
};

/** Loads one of the dictionaries that serve again: the first for an even `turn`. */
export async function loadAgain(base: string, turn: number): Promise<void> {
  const id = turn % 2 === 0 ? MATCHING_PURSUIT : TOPK;
  const answer = await fetch(`${base}/v2/repository/models/${id}/load`, { method: "POST" });
  const text = await answer.text();
  if (answer.status !== 200) throw new Error(`load ${turn} of ${id}: ${answer.status} ${text}`);
}

const hotSwaps: Fault = {
  name: "hot swaps",
  does: "each dictionary is loaded again in turn, while its requests run",
  async inject({ server, share }) {
    const times = Math.max(1, Math.round(300 * share));
    for (let i = 0; i < times; i++) await loadAgain(server.base, i);
    return { times };
  },
};

export const FAULTS: readonly Fault[] = [
  signal("SIGSEGV", 10),
  signal("SIGKILL", 10),
  signal("SIGSTOP", 4, { PURSUIT_WATCHDOG_MS: "3000" }),
  lostPostgres,
  fullDisk,
  openFiles,
  memoryLimit,
  clockJump,
  hotSwaps,
];
