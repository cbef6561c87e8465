import { afterEach } from "vitest";
import type { ServerProcess } from "./running-server.ts";

/** A list of servers: those in it are killed after each test, however that ends. */
export function killedAfterEach(): ServerProcess[] {
  const running: ServerProcess[] = [];
  afterEach(async () => {
    const left = running.splice(0);
    for (const { process } of left) process.kill("SIGKILL");
    await Promise.all(left.map(({ exited }) => exited));
  });
  return running;
}
