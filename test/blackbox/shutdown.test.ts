/** What happens to requests and processes when the server is told to stop, or killed. Linux: reads /proc. */
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type Encoded, post } from "../support/client.ts";
import { itInFull } from "../support/full.ts";
import { isAlive } from "../support/process-figures.ts";
import { openSocket } from "../support/raw-http.ts";
import { type RunningServer, runtimeOf, runtimeStateOf, spawnServer, startServer } from "../support/running-server.ts";
import { killedAfterEach } from "../support/kill-after.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";
import { requestOf, twoDictionaries } from "../support/two-dictionaries.ts";
import { until } from "../support/until.ts";

const models = twoDictionaries();
const cache = temporaryFolder();

const running = killedAfterEach();
async function start(env: Record<string, string> = {}): Promise<RunningServer> {
  const server = await startServer(models, temporaryFolder(), env);
  running.push(server);
  return server;
}
const encode = (server: RunningServer, id: string, seed: number): Promise<Encoded> =>
  post(server.base, `/v1/dictionaries/${id}/encode`, requestOf(seed));

describe("shutdown", () => {
  it("told to stop, answers what it has accepted and leaves no process behind", async () => {
    const server = await start();
    const children = server.runtimes();
    const accepted = Array.from({ length: 50 }, (_, i) => encode(server, "one", i));
    await accepted[0];
    const code = server.stop();
    const answers = await Promise.allSettled(accepted);
    for (const answer of answers) {
      // A request whose head came after the signal is refused: nothing is dropped without an answer or a closed door.
      if (answer.status === "rejected") expect(String(answer.reason)).toMatch(/PURSUIT_DRAINING|fetch failed/);
    }
    expect(answers.filter(({ status }) => status === "fulfilled").length).toBeGreaterThan(0);
    expect(await code).toBe(0);
    expect(children.filter(isAlive)).toEqual([]);
  });

  itInFull("is not ready while it drains, but still answers", async () => {
    const server = await start({ PURSUIT_DRAIN_MS: "60000" });
    server.process.kill("SIGTERM");
    await until(async () => (await fetch(`${server.base}/health/ready`)).status === 503);
    expect(await encode(server, "one", 3)).toMatchObject({ dictionary: "one" });
    // The next request of this client is to reach another server.
    expect((await fetch(`${server.base}/v1/dictionaries`)).headers.get("connection")).toBe("close");
    server.process.kill("SIGKILL");
    await once(server.process, "exit");
  });

  it("killed outright, takes its runtime processes with it", async () => {
    const server = await start();
    const children = server.runtimes();
    expect(children).toHaveLength(2);
    server.process.kill("SIGKILL");
    await once(server.process, "exit");
    await until(() => !children.some(isAlive));
  });

  itInFull("does not wait for connections that have never sent anything", async () => {
    const server = await start();
    const silent = await Promise.all([openSocket(server.port), openSocket(server.port)]);
    expect(await encode(server, "one", 1)).toMatchObject({ dictionary: "one" });
    const ended = Promise.all(silent.map((socket) => once(socket.resume(), "close")));
    expect(await server.stop()).toBe(0);
    await ended;
  });

  itInFull("ends loads under way, and leaves no process behind", async () => {
    const server = spawnServer(models, temporaryFolder(), {});
    running.push(server);
    const loading = await runtimeOf(server, "one");
    process.kill(loading, "SIGSTOP");
    await until(() => server.log().includes("dictionaries are loading"));
    const children = server.runtimes();
    expect(await server.stop()).toBe(0);
    expect(children.filter(isAlive)).toEqual([]);
  });

  itInFull("cuts nothing that it has accepted", async () => {
    const server = await start({ PURSUIT_WATCHDOG_MS: "600000" });
    const expected = await Promise.all(Array.from({ length: 20 }, (_, i) => encode(server, "one", i)));
    const stopped = await runtimeOf(server, "one");
    process.kill(stopped, "SIGSTOP");
    const first = encode(server, "one", 0);
    await until(async () => (await runtimeStateOf(server, "one")) === "hung");
    const others = expected.slice(1).map((_, i) => encode(server, "one", i + 1));
    await until(async () => {
      const metrics = await (await fetch(`${server.base}/metrics`)).text();
      return metrics.includes(`\npursuit_queue_rows{dictionary="one"} ${others.length}\n`);
    });
    const code = server.stop();
    await until(() => server.log().includes("Closing"));
    process.kill(stopped, "SIGCONT");
    expect(await Promise.all([first, ...others])).toEqual(expected);
    expect(await code).toBe(0);
  });

  itInFull("replaces a runtime process that is stopped, answers what it had accepted, and ends with 0", async () => {
    const server = await start({ PURSUIT_WATCHDOG_MS: "600000" });
    const expected = await encode(server, "one", 1);
    const [stuck, idle] = [await runtimeOf(server, "one"), await runtimeOf(server, "two")];
    for (const pid of [stuck, idle]) process.kill(pid, "SIGSTOP");
    const accepted = encode(server, "one", 1);
    await until(async () => (await runtimeStateOf(server, "one")) === "hung");
    const code = server.stop();
    expect(await accepted).toEqual(expected);
    expect(await code).toBe(0);
    expect([stuck, idle].filter(isAlive)).toEqual([]);
  });

  itInFull("that is forced leaves no process behind, stopped ones included", async () => {
    const server = await start({ PURSUIT_CLOSE_MS: "0", PURSUIT_WATCHDOG_MS: "600000" });
    const children = server.runtimes();
    process.kill(await runtimeOf(server, "one"), "SIGSTOP");
    const cut = expect(encode(server, "one", 1)).rejects.toThrow(/fetch failed/);
    await until(async () => (await runtimeStateOf(server, "one")) === "hung");
    expect(await server.stop()).toBe(1);
    await cut;
    expect(server.log()).toContain("PURSUIT_CLOSE_MS");
    await until(() => !children.some(isAlive));
  });

  itInFull("by SIGKILL takes a stopped runtime process with it", async () => {
    const server = await start();
    const children = server.runtimes();
    for (const pid of children) process.kill(pid, "SIGSTOP");
    server.process.kill("SIGKILL");
    await until(() => !children.some(isAlive));
  });

  itInFull("takes signals that come together for one, and a later one for the wish to end at once", async () => {
    const together = await start();
    together.process.kill("SIGINT");
    together.process.kill("SIGTERM");
    expect(await together.exited).toBe(0);

    const server = await start({ PURSUIT_DRAIN_MS: "600000" });
    const children = server.runtimes();
    server.process.kill("SIGTERM");
    await until(async () => (await fetch(`${server.base}/health/ready`)).status === 503);
    await until(() => {
      server.process.kill("SIGTERM");
      return server.process.exitCode !== null;
    });
    expect(await server.exited).toBe(1);
    await until(() => !children.some(isAlive));
  });

  itInFull("does not come of SIGHUP where there is no terminal, as under nohup", async () => {
    const server = await start();
    const expected = await encode(server, "one", 1);
    const children = server.runtimes();
    for (const pid of [server.process.pid!, ...children]) process.kill(pid, "SIGHUP");
    expect(await encode(server, "one", 1)).toEqual(expected);
    expect(server.runtimes()).toEqual(children);
  });
});

describe("the state folder", () => {
  it("is of one server: a second one says which process has it, and can have it once that was killed", async () => {
    const stateDir = temporaryFolder();
    const first = await startServer(models, cache, {}, { stateDir });
    running.push(first);
    const second = spawnServer(models, cache, {}, { stateDir });
    running.push(second);
    expect(await second.exited).toBe(1);
    expect(second.log()).toContain(`${stateDir} is in use by another server (process ${first.process.pid} on `);
    expect(second.log()).toContain("PURSUIT_STATE_DIR");
    first.process.kill("SIGKILL");
    await first.exited;
    running.push(await startServer(models, cache, {}, { stateDir }));
  });

  itInFull("that cannot be written is no reason not to serve", async () => {
    const taken = join(temporaryFolder(), "file");
    writeFileSync(taken, "");
    const server = await startServer(models, cache, {}, { stateDir: taken });
    running.push(server);
    expect(server.log()).toContain("could not be locked");
    expect(await encode(server, "one", 1)).toMatchObject({ dictionary: "one" });
  });
});
