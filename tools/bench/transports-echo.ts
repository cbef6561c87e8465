/** The far end of tools/bench/transports.ts: sends back what it gets, by the way named in its first argument. */
import { connect, Socket } from "node:net";
import { Duplex } from "node:stream";
import { frameChunks, FrameReader } from "../../src/engine/runtime/protocol/frame.ts";

const way = process.argv[2] ?? "";

function echoFrames(stream: Duplex): void {
  stream.on("error", () => process.exit());
  const reader = new FrameReader(({ head, columns }) => {
    stream.cork();
    for (const chunk of frameChunks(head, columns)) stream.write(chunk);
    stream.uncork();
  });
  stream.on("data", (chunk: Buffer) => reader.push(chunk));
}

if (way === "ipc") process.on("message", (message) => process.send!(message));
else if (way === "pair") echoFrames(new Socket({ fd: 3, readable: true, writable: true }));
else if (way === "stdio") echoFrames(Duplex.from({ readable: process.stdin, writable: process.stdout }));
else echoFrames(connect(Number(way.split(":")[1]), "127.0.0.1").setNoDelay(true));
