import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

export interface LimitServer {
  readonly base: string;
  readonly stop: () => Promise<void>;
}

/**
 * Starts what no server on Fastify can pass: one that reads a body and has the answer already, having asked the server at
 * `base` for it the first time.
 */
export async function startLimit(base: string): Promise<LimitServer> {
  const child = fork(fileURLToPath(new URL("./remembering-server.ts", import.meta.url)), [base], {
    execArgv: ["--import", "tsx"],
  });
  const port = await Promise.race([
    once(child, "message").then(([said]) => said as number),
    once(child, "exit").then(([code]) => Promise.reject(new Error(`the limit's server ended with ${String(code)}`))),
  ]);
  return { base: `http://127.0.0.1:${port}`, stop: () => end(child) };
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill();
  await exited;
}
