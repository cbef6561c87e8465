import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

/** A Python server of tools/baselines that serves one dictionary. */
export interface BaselineServer {
  readonly base: string;
  readonly path: string;
  readonly stop: () => Promise<void>;
}

export interface BaselineOptions {
  readonly python: string;
  /** File of tools/baselines. */
  readonly script: string;
  readonly folder: string;
  readonly steps: number;
  readonly threads: number;
  /** Requests of one batch at most, and how long the first of them waits for others. */
  readonly batch: number;
  readonly timeoutMs: number;
}

const MODULES = ["torch", "safetensors", "overcomplete", "litserve", "fastapi", "uvicorn"];
const PATH = "/encode";
/** PyTorch and overcomplete take their time to import. */
const START_MS = 180_000;
const POLL_MS = 250;
const END_MS = 10_000;

/** @throws Error that says what is missing and how to have it */
export async function checkPython(python: string): Promise<void> {
  const script = `import importlib.util as u; print(*[m for m in ${JSON.stringify(MODULES)} if not u.find_spec(m)])`;
  const { stdout } = await promisify(execFile)(python, ["-c", script]).catch((error: Error) => {
    throw new Error(`--python ${python} does not run: ${error.message}`, { cause: error });
  });
  if (stdout.trim() === "") return;
  throw new Error(
    `--python ${python} has no ${stdout.trim().split(" ").join(", ")}. In a venv of its own: pip install -r tools/baselines/requirements.txt -r tools/baselines/serving-requirements.txt`,
  );
}

/** Starts a baseline and resolves once it has answered a row. @throws Error with its log when it ends or does not begin */
export async function startBaseline(options: BaselineOptions): Promise<BaselineServer> {
  const { python, script, folder, steps, threads, batch, timeoutMs } = options;
  const file = fileURLToPath(new URL(`../../tools/baselines/${script}`, import.meta.url));
  const port = await freePort();
  const numbers = [steps, threads, port, batch, timeoutMs].map(String);
  // A group of its own: LitServe starts processes that outlive a signal to the first alone.
  const child = spawn(python, [file, folder, ...numbers], {
    cwd: dirname(file),
    detached: true,
    // Threads that spin while they wait take the cores from the HTTP side: without this PyTorch is slower by far.
    env: { ...process.env, OMP_WAIT_POLICY: "PASSIVE" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let log = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (text: string) => (log = (log + text).slice(-4000)));
  const base = `http://127.0.0.1:${port}`;
  const stop = (): Promise<void> => endGroup(child);
  try {
    await answers(base, child);
  } catch (error) {
    await stop();
    throw new Error(`${script}: ${(error as Error).message}\n${log}`, { cause: error });
  }
  return { base, path: PATH, stop };
}

async function answers(base: string, child: ChildProcess): Promise<void> {
  for (const end = performance.now() + START_MS; performance.now() < end;) {
    if (child.exitCode !== null || child.signalCode !== null) throw new Error("it ended before it answered");
    const answer = await fetch(`${base}/health`).catch(() => null);
    if (answer?.status === 200) return;
    await new Promise((done) => setTimeout(done, POLL_MS));
  }
  throw new Error(`it did not answer within ${START_MS / 1000} s`);
}

async function endGroup(child: ChildProcess): Promise<void> {
  const signal = (name: NodeJS.Signals): void => {
    try {
      process.kill(-child.pid!, name);
    } catch {
      // The group is gone.
    }
  };
  const running = child.exitCode === null && child.signalCode === null;
  const exited = running ? once(child, "exit") : null;
  signal("SIGTERM");
  const timer = setTimeout(() => signal("SIGKILL"), END_MS);
  await exited;
  clearTimeout(timer);
  signal("SIGKILL");
}

/** A port that was free a moment ago: the baselines cannot choose one and say which. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
