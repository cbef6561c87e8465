import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import type { Socket } from "node:net";
import { type Clock, overdueAfter } from "../../core/clock.ts";
import { Fault } from "../../core/errors.ts";
import { type Frame, frameChunks, FrameReader, type OutgoingColumns } from "../protocol/frame.ts";
import type { LoadedFacts, LoadOptions, ReplyHead, RequestHead } from "../protocol/messages.ts";
import { endSooner, launch, SOONER } from "./launch.ts";

/** The process ended, or the watchdog ended it, before it answered. */
export class RuntimeGone extends Error {
  override readonly name = "RuntimeGone";
  readonly reason: "crash" | "watchdog";
  /** Killed by someone else: nearly always the system, out of memory. */
  readonly killed: boolean;

  constructor(reason: "crash" | "watchdog", message: string, killed = false) {
    super(message);
    this.reason = reason;
    this.killed = killed;
  }
}

/** Whether a start probably failed for lack of memory. */
export function ranOutOfMemory(error: unknown): boolean {
  return (error instanceof RuntimeGone && error.killed) || (error instanceof Fault && error.code === "memory");
}

export interface RuntimeProcessOptions {
  /** File that the process runs. */
  readonly entry: URL;
  readonly load: LoadOptions;
  readonly clock: Clock;
  /** Time limit of a load, in milliseconds. */
  readonly loadTimeoutMs: number;
  /** Abort it to kill the process while it loads. */
  readonly signal?: AbortSignal;
}

/** Time limits of a call in milliseconds, counted from the answer to the call before it. */
export interface CallTime {
  /** Predicted time. */
  readonly expected: number;
  /** After this the process counts as hung and is killed. */
  readonly limit: number;
}

type Call = RequestHead extends infer H ? (H extends { id: number } ? Omit<H, "id"> : never) : never;

interface Pending {
  readonly time: CallTime;
  resolve(answer: { head: ReplyHead & { type: "result" }; frame: Frame }): void;
  reject(error: Error): void;
}

/** Time for a process to end after it was asked to, and for a call to be answered once the server stops. */
const CLOSE_GRACE = 5_000;

/**
 * One runtime process from start to end: loads one dictionary and answers calls in order. It is never restarted; {@link
 * SupervisedRuntime} starts a new one.
 */
export class RuntimeProcess {
  readonly facts: LoadedFacts;
  /** Resolves with a sentence once the process has ended. */
  readonly ended: Promise<string>;
  readonly #child: ChildProcess;
  readonly #socket: Socket;
  readonly #clock: Clock;
  readonly #pending = new Map<number, Pending>();
  #stopWatch: () => void = () => {};
  #nextId = 1;
  #gone: RuntimeGone | null = null;
  /** The overdue call, if any. */
  #overdue: { readonly over: Promise<void>; readonly end: () => void } | null = null;
  #hurried = false;

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
    void ended.then((how) => {
      this.#fail(new RuntimeGone("crash", `The runtime process ended (${how}).`, killedByOthers(child)));
    });
  }

  /**
   * Starts a process and lets it load its dictionary.
   * @throws Fault as reported by the process; RuntimeGone when it ended, took too long or was aborted; Error when the
   *   system did not start it
   */
  static async start(options: RuntimeProcessOptions): Promise<RuntimeProcess> {
    const { entry, load, clock, loadTimeoutMs, signal } = options;
    const child = await launch(entry, load.overDecoder ? `${load.manifest.id} (pursuit)` : load.manifest.id);
    if (child.pid !== undefined) endSooner(child.pid, SOONER.loading);
    const socket = child.stdio[3] as Socket;
    // A write to a process that has just died fails with EPIPE; the exit event that follows reports everything.
    socket.on("error", () => {});
    const ended = once(child, "exit").then(([code, by]) =>
      by === null ? `exit code ${String(code)}` : `signal ${String(by)}`,
    );

    let receive: (frame: Frame) => void = () => {};
    const reader = new FrameReader((frame) => receive(frame));
    socket.on("data", (chunk: Buffer) => {
      try {
        reader.push(chunk);
      } catch {
        // A peer that breaks the framing cannot be used further; killing it fails the calls in flight.
        child.kill("SIGKILL");
      }
    });

    const loaded = new Promise<LoadedFacts>((resolve, reject) => {
      const stopWatch = clock.after(loadTimeoutMs, () => {
        reject(new RuntimeGone("watchdog", `The runtime process did not load its dictionary in ${loadTimeoutMs} ms.`));
        child.kill("SIGKILL");
      });
      receive = ({ head }) => {
        const reply = head as ReplyHead;
        stopWatch();
        if (reply.type === "loaded") resolve(reply.facts);
        else if (reply.type === "load_failed") reject(new Fault(reply.cause, reply.faults));
        else reject(new Fault("broken", [`unexpected ${reply.type}`]));
      };
      void ended.then((how) => {
        stopWatch();
        const message = `The runtime process ended while it loaded (${how}).`;
        reject(new RuntimeGone("crash", message, killedByOthers(child)));
      });
    });
    const giveUp = (): void => void child.kill("SIGKILL");
    if (signal?.aborted) giveUp();
    signal?.addEventListener("abort", giveUp, { once: true });
    write(socket, { type: "load", options: load });
    try {
      const runtime = new RuntimeProcess(child, socket, options, await loaded, ended);
      receive = (frame) => runtime.#receive(frame);
      if (child.pid !== undefined) endSooner(child.pid, SOONER.serving);
      return runtime;
    } catch (error) {
      child.kill("SIGKILL");
      throw error;
    } finally {
      signal?.removeEventListener("abort", giveUp);
    }
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Set once it answers no more: it ended, or the watchdog is ending it. */
  get gone(): RuntimeGone | null {
    return this.#gone;
  }

  /** null while calls are on time; otherwise resolves once the overdue one is answered or given up. */
  get overdue(): Promise<void> | null {
    return this.#overdue?.over ?? null;
  }

  /** The server stops: from now on a hanging call is given up after seconds, whatever its limit. */
  hurry(): void {
    this.#hurried = true;
    this.#watchFirst();
  }

  /**
   * Sends one call and waits for its answer.
   * @throws RuntimeGone when the process ends first; Error with the process's message when the call failed there
   */
  call(
    head: Call,
    columns: OutgoingColumns,
    time: CallTime,
  ): Promise<{ head: ReplyHead & { type: "result" }; frame: Frame }> {
    if (this.#gone !== null) return Promise.reject(this.#gone);
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { time, resolve, reject });
      if (this.#pending.size === 1) this.#watchFirst();
      write(this.#socket, { ...head, id }, columns);
    });
  }

  /** Asks the process to answer the calls in flight, release its session and end; kills it if it does not. */
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

  /** Calls are answered in order, so the time of each starts when the one before it is answered. */
  #watchFirst(): void {
    this.#stopWatch();
    this.#overdue?.end();
    this.#overdue = null;
    const [first] = this.#pending.values();
    if (first === undefined) return;
    const { expected } = first.time;
    const soon = overdueAfter(expected);
    const limit = this.#hurried ? Math.min(first.time.limit, Math.max(CLOSE_GRACE, soon)) : first.time.limit;
    if (limit <= soon) return this.#giveUpAfter(limit, limit);
    this.#stopWatch = this.#clock.after(soon, () => {
      let end!: () => void;
      const over = new Promise<void>((resolve) => (end = resolve));
      this.#overdue = { over, end };
      this.#giveUpAfter(limit - soon, limit);
    });
  }

  #giveUpAfter(milliseconds: number, limit: number): void {
    this.#stopWatch = this.#clock.after(milliseconds, () => {
      this.#fail(new RuntimeGone("watchdog", `The runtime process gave no answer in ${Math.round(limit)} ms.`));
      this.#child.kill("SIGKILL");
    });
  }
}

/** Whether a SIGKILL from elsewhere ended it. */
const killedByOthers = ({ signalCode, killed }: ChildProcess): boolean => signalCode === "SIGKILL" && !killed;

function write(socket: Socket, head: RequestHead, columns: OutgoingColumns = {}): void {
  // Corked: one writev for the header and all columns.
  socket.cork();
  for (const chunk of frameChunks(head, columns)) socket.write(chunk);
  socket.uncork();
}
