import { afterEach } from "vitest";
import type { ServerProcess } from "./running-server.ts";

/** Returns a list of servers to kill after each test, whatever its result. */
export function killedAfterEach(): ServerProcess[] {
  const running: ServerProcess[] = [];
  afterEach(async () => {
    const left = running.splice(0);
    for (const { process } of left) process.kill("SIGKILL");
    await Promise.all(left.map(({ exited }) => exited));
  });
  return running;
}
