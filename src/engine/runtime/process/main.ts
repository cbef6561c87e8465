/**
 * Entry of a runtime process: the I/O thread. It moves frames between the server (file descriptor 3) and the session
 * in its worker thread, which blocks while it computes; this thread stays free, so that the next batch is received
 * while one runs and the end of the server is noticed at once. Frame bodies are transferred, never copied.
 */
import { Socket } from "node:net";
import { Worker } from "node:worker_threads";
import { type Columns, type Frame, frameChunks, FrameReader } from "../protocol/frame.ts";
import type { ReplyHead, RequestHead } from "../protocol/messages.ts";

// A terminal signals the whole process group; the server alone decides when a runtime process ends.
for (const signal of ["SIGINT", "SIGTERM", "SIGQUIT", "SIGHUP"]) process.on(signal, () => {});

// Must stand in the real environment before the first session; set inside a worker thread it would not.
process.env["ORT_DISABLE_TELEMETRY"] = "1";

/** A run that is still going this long after the server has gone is not worth waiting for. */
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
// A fault that the session thread did not catch: end with the reason on stderr; the supervisor starts anew.
worker.on("error", (error) => {
  console.error(error);
  process.exit(70);
});
// The session is released by now. What is still to be written is written before the process ends.
worker.on("exit", () => server.end(() => process.exit(0)));
