import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import type { Socket } from "node:net";
import { fileURLToPath } from "node:url";
import type { Clock } from "../../core/clock.ts";
import { type Frame, frameChunks, FrameReader, type OutgoingColumns } from "../protocol/frame.ts";
import type { LoadedFacts, LoadOptions, ReplyHead, RequestHead } from "../protocol/messages.ts";

/** The dictionary itself is at fault: starting another process would fail the same way. */
export class LoadFailed extends Error {
  override readonly name = "LoadFailed";
  readonly faults: readonly string[];

  constructor(faults: readonly string[]) {
    super(faults.join(" "));
    this.faults = faults;
  }
}

/** The process ended, or was ended by the watchdog, before it answered. */
export class RuntimeGone extends Error {
  override readonly name = "RuntimeGone";
  readonly reason: "crash" | "watchdog";

  constructor(reason: "crash" | "watchdog", message: string) {
    super(message);
    this.reason = reason;
  }
}

export interface RuntimeProcessOptions {
  /** The executor's entry: the file that the process runs. */
  readonly entry: URL;
  readonly load: LoadOptions;
  readonly clock: Clock;
  /** Milliseconds that loading may take. */
  readonly loadTimeout: number;
}

type Call = RequestHead extends infer H ? (H extends { id: number } ? Omit<H, "id"> : never) : never;

interface Pending {
  readonly watchdog: number;
  resolve(answer: { head: ReplyHead & { type: "result" }; frame: Frame }): void;
  reject(error: Error): void;
}

/** How long a process may take to end after it was asked to. Its session is released within one run. */
const CLOSE_GRACE = 5_000;

/**
 * One runtime process from start to end: it loads one dictionary, answers calls in the order sent, and is then gone
 * for good. Restarting is {@link SupervisedRuntime}'s.
 *
 * File descriptor 3 of the child is one end of a Unix socket pair: no path on disk, nothing to clean up, and the child
 * reads its end when this process ends however it ends.
 */
export class RuntimeProcess {
  readonly facts: LoadedFacts;
  /** Resolves with a sentence when the process has ended. */
  readonly ended: Promise<string>;
  readonly #child: ChildProcess;
  readonly #socket: Socket;
  readonly #clock: Clock;
  readonly #pending = new Map<number, Pending>();
  #stopWatch: () => void = () => {};
  #nextId = 1;
  #gone: RuntimeGone | null = null;

  private constructor(
    child: ChildProcess,
    socket: Socket,
    { clock }: RuntimeProcessOptions,
    facts: LoadedFacts,
    ended: Promise<string>,
  ) {
    this.#child = child;
    this.#socket = socket;
    this.#clock = clock;
    this.facts = facts;
    this.ended = ended;
    void ended.then((how) => this.#fail(new RuntimeGone("crash", `The runtime process ended (${how}).`)));
  }

  /**
   * Starts a process and has it load its dictionary.
   * @throws LoadFailed when the dictionary is at fault, RuntimeGone when the process ended or took too long.
   */
  static async start(options: RuntimeProcessOptions): Promise<RuntimeProcess> {
    const { entry, load, clock, loadTimeout } = options;
    const file = fileURLToPath(entry);
    const child = spawn(process.execPath, [...(file.endsWith(".ts") ? ["--import", "tsx"] : []), file], {
      // ONNX Runtime writes to stdout and stderr as it likes; both belong in the server's stderr, never in its stdout.
      stdio: ["ignore", 2, 2, "pipe"],
    });
    const socket = child.stdio[3] as Socket;
    // A write to a process that has just died fails with EPIPE; its exit, which follows, says all there is to say.
    socket.on("error", () => {});
    const ended = once(child, "exit").then(
      ([code, signal]) => (signal === null ? `exit code ${String(code)}` : `signal ${String(signal)}`),
      (error: unknown) => `not started: ${String(error)}`,
    );

    let receive: (frame: Frame) => void = () => {};
    const reader = new FrameReader((frame) => receive(frame));
    socket.on("data", (chunk: Buffer) => {
      try {
        reader.push(chunk);
      } catch {
        // A peer that breaks the framing cannot be talked to any more; its end fails what is in flight.
        child.kill("SIGKILL");
      }
    });

    const loaded = new Promise<LoadedFacts>((resolve, reject) => {
      const stopWatch = clock.after(loadTimeout, () => {
        reject(new RuntimeGone("watchdog", `The runtime process did not load its dictionary in ${loadTimeout} ms.`));
        child.kill("SIGKILL");
      });
      receive = ({ head }) => {
        const reply = head as ReplyHead;
        stopWatch();
        if (reply.type === "loaded") resolve(reply.facts);
        else reject(new LoadFailed(reply.type === "load_failed" ? reply.faults : [`unexpected ${reply.type}`]));
      };
      void ended.then((how) => {
        stopWatch();
        reject(new RuntimeGone("crash", `The runtime process ended while it loaded (${how}).`));
      });
    });
    write(socket, { type: "load", options: load });
    try {
      const runtime = new RuntimeProcess(child, socket, options, await loaded, ended);
      receive = (frame) => runtime.#receive(frame);
      return runtime;
    } catch (error) {
      child.kill("SIGKILL");
      throw error;
    }
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Set once it answers no more: it ended, or the watchdog gave it up and its end is near. */
  get gone(): RuntimeGone | null {
    return this.#gone;
  }

  /**
   * Sends one call and waits for its answer.
   * @param watchdog milliseconds after which the process is taken for hung and killed, from the moment of sending.
   * @throws RuntimeGone when the process ends first; Error with the process's own words when the call failed in it.
   */
  call(
    head: Call,
    columns: OutgoingColumns,
    watchdog: number,
  ): Promise<{ head: ReplyHead & { type: "result" }; frame: Frame }> {
    if (this.#gone !== null) return Promise.reject(this.#gone);
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { watchdog, resolve, reject });
      if (this.#pending.size === 1) this.#watchFirst();
      write(this.#socket, { ...head, id }, columns);
    });
  }

  /** Asks the process to release its session and end; kills it when it does not. Calls in flight are answered first. */
  async close(): Promise<void> {
    if (this.#gone === null) write(this.#socket, { type: "close" });
    const stopWatch = this.#clock.after(CLOSE_GRACE, () => this.#child.kill("SIGKILL"));
    await this.ended;
    stopWatch();
  }

  #receive(frame: Frame): void {
    const head = frame.head as ReplyHead;
    if (head.type !== "result" && head.type !== "error") return;
    const pending = this.#pending.get(head.id);
    if (pending === undefined) return;
    this.#pending.delete(head.id);
    this.#watchFirst();
    if (head.type === "result") pending.resolve({ head, frame });
    else pending.reject(new Error(head.message));
  }

  #fail(gone: RuntimeGone): void {
    this.#gone ??= gone;
    for (const pending of this.#pending.values()) pending.reject(this.#gone);
    this.#pending.clear();
    this.#watchFirst();
  }

  /** Calls are answered in the order sent: the time of each begins when the one before it is answered. */
  #watchFirst(): void {
    this.#stopWatch();
    const [first] = this.#pending.values();
    if (first === undefined) return;
    const { watchdog } = first;
    this.#stopWatch = this.#clock.after(watchdog, () => {
      this.#fail(new RuntimeGone("watchdog", `The runtime process gave no answer in ${Math.round(watchdog)} ms.`));
      this.#child.kill("SIGKILL");
    });
  }
}

function write(socket: Socket, head: RequestHead, columns: OutgoingColumns = {}): void {
  // Corked: one writev for the header and all columns.
  socket.cork();
  for (const chunk of frameChunks(head, columns)) socket.write(chunk);
  socket.uncork();
}
