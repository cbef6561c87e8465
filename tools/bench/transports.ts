/**
 * The round trip of one batch between a server and its runtime process, by the ways that Node offers (decision 0002):
 *
 *     npx tsx tools/bench/transports.ts
 *
 * Each echoes 128 rows of 768 float32 (384 KiB) with their budgets and does nothing else.
 */
import { type ChildProcess, fork, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { Duplex } from "node:stream";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { frameChunks, FrameReader } from "../../src/engine/runtime/protocol/frame.ts";
import { batchOf } from "../../test/support/batch.ts";
import { normals } from "../../test/support/seeded.ts";
import { medianMs, table } from "./timing.ts";

const echo = fileURLToPath(new URL("./transports-echo.ts", import.meta.url));
const { rows, budgets } = batchOf(normals(128 * 768, 1), 768, { maxAtoms: 32 });
const columns = { rows, ...budgets };

/** Sends one batch and resolves when it is back. */
interface Transport {
  readonly trip: () => Promise<unknown>;
  readonly close: () => void;
}

const child = (way: string, stdio: ("inherit" | "pipe")[]): ChildProcess =>
  spawn(process.execPath, ["--import", "tsx", echo, way], { stdio });

function framed(stream: Duplex, close: () => void): Transport {
  let back = (_: unknown): void => {};
  const reader = new FrameReader((frame) => back(frame));
  stream.on("data", (chunk: Buffer) => reader.push(chunk));
  // It breaks when the child is killed, at the end.
  stream.on("error", () => {});
  const trip = (): Promise<unknown> =>
    new Promise((resolve) => {
      back = resolve;
      stream.cork();
      for (const chunk of frameChunks({ type: "encode" }, columns)) stream.write(chunk);
      stream.uncork();
    });
  return { trip, close };
}

const TRANSPORTS: Readonly<Record<string, () => Promise<Transport>>> = {
  "socket pair, frames": async () => {
    const process = child("pair", ["inherit", "inherit", "inherit", "pipe"]);
    return framed(process.stdio[3] as Socket, () => process.kill());
  },
  "two pipes, frames": async () => {
    const process = child("stdio", ["pipe", "pipe", "inherit"]);
    const both = Duplex.from({ readable: process.stdout!, writable: process.stdin! });
    return framed(both, () => process.kill());
  },
  "loopback TCP, frames": async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as { port: number };
    const process = child(`tcp:${port}`, ["inherit", "inherit", "inherit"]);
    const [socket] = (await once(server, "connection")) as [Socket];
    socket.setNoDelay(true);
    return framed(socket, () => {
      process.kill();
      server.close();
    });
  },
  "Node IPC, structured clone": async () => {
    const process = fork(echo, ["ipc"], { serialization: "advanced", execArgv: ["--import", "tsx"] });
    const trip = async (): Promise<unknown> => {
      process.send({ columns });
      return once(process, "message");
    };
    return { trip, close: () => process.kill() };
  },
  "worker thread, transfer": async () => {
    const echoing = `const { parentPort } = require("node:worker_threads");
      parentPort.on("message", (columns) => parentPort.postMessage(columns, [columns.rows.buffer]));`;
    const worker = new Worker(echoing, { eval: true });
    const trip = async (): Promise<unknown> => {
      // Rows are copied once, as they come from requests that go on living.
      const copy = rows.slice();
      worker.postMessage({ ...columns, rows: copy }, [copy.buffer]);
      return once(worker, "message");
    };
    return { trip, close: () => void worker.terminate() };
  },
};

const lines: (string | number)[][] = [["transport", "ms per round trip"]];
for (const [name, open] of Object.entries(TRANSPORTS)) {
  const { trip, close } = await open();
  const milliseconds = await medianMs(201, trip);
  lines.push([name, milliseconds]);
  close();
}
console.log(table(lines));
