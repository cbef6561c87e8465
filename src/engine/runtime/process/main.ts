/**
 * Entry of a runtime process: the I/O thread. It moves frames between the server (file descriptor 3) and the session's
 * worker thread, which blocks while it computes. This thread stays free to receive the next batch and to notice the
 * server's end. Frame bodies are transferred, never copied.
 */
import { Socket } from "node:net";
import { Worker } from "node:worker_threads";
import { type Columns, type Frame, frameChunks, FrameReader } from "../protocol/frame.ts";
import type { ReplyHead, RequestHead } from "../protocol/messages.ts";

// A terminal signals the whole process group, but only the server may end a runtime process.
for (const signal of ["SIGINT", "SIGTERM", "SIGQUIT", "SIGHUP"]) process.on(signal, () => {});

// Must be set in the real environment before the first session; setting it in a worker thread has no effect.
process.env["ORT_DISABLE_TELEMETRY"] = "1";

/** Milliseconds that a run may go on after the server has gone. */
const ORPHAN_GRACE = 5_000;

const worker = new Worker(new URL("./session-worker.js", import.meta.url));
const server = new Socket({ fd: 3, readable: true, writable: true });

const reader = new FrameReader(({ head, columns, body }: Frame) => {
  worker.postMessage({ head: head as RequestHead, columns }, [body]);
});
server.on("data", (chunk: Buffer) => reader.push(chunk));
server.on("error", () => server.destroy());
server.on("close", () => {
  worker.postMessage({ head: { type: "close" } satisfies RequestHead, columns: {} });
  setTimeout(() => process.kill(process.pid, "SIGKILL"), ORPHAN_GRACE).unref();
});

worker.on("message", ({ head, columns }: { head: ReplyHead; columns: Columns }) => {
  server.cork();
  for (const chunk of frameChunks(head, columns)) server.write(chunk);
  server.uncork();
});
// For errors that the session thread did not catch: end with the reason on stderr; the supervisor restarts.
worker.on("error", (error) => {
  console.error(error);
  process.exit(70);
});
// The session is released by now. Flush pending writes before the process ends.
worker.on("exit", () => server.end(() => process.exit(0)));
