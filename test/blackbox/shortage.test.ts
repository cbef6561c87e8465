/** What the server does when the system refuses it descriptors, processes, threads or addresses. Linux: needs prlimit. */
import { Agent, request } from "node:http";
import { describe, expect, it } from "vitest";
import { type Encoded, post } from "../support/client.ts";
import { itInFull } from "../support/full.ts";
import { openSocket } from "../support/raw-http.ts";
import { type RunningServer, runtimeOf, spawnServer, startServer } from "../support/running-server.ts";
import { normals } from "../support/seeded.ts";
import { takeDescriptors } from "../support/take-descriptors.ts";
import { killedAfterEach } from "../support/kill-after.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";
import { D, twoDictionaries } from "../support/two-dictionaries.ts";
import { until } from "../support/until.ts";

const models = twoDictionaries();

const running = killedAfterEach();
async function start(prefix: readonly string[] = []): Promise<RunningServer> {
  const server = await startServer(models, temporaryFolder(), {}, { prefix });
  running.push(server);
  return server;
}
const rowsOf = (count: number): object => ({
  inputs: Array.from({ length: count }, (_, i) => [...normals(D, i)]),
  budget: { max_atoms: 4 },
});
/** Parsed on a thread: over a quarter of a mebibyte. */
const LARGE = rowsOf(1000);
const SMALL = rowsOf(1);

/** Posts over one connection that stays open: no descriptor is needed for a new one. */
function keptConnection({ base }: RunningServer) {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  return (path: string, value: object): Promise<{ status: number; body: unknown }> =>
    new Promise((resolve, reject) => {
      const headers = { "content-type": "application/json" };
      const sent = request(`${base}${path}`, { agent, method: "POST", headers }, (answer) => {
        let text = "";
        answer.setEncoding("utf8").on("data", (part: string) => (text += part));
        answer.on("end", () => resolve({ status: answer.statusCode!, body: JSON.parse(text) }));
      });
      sent.on("error", reject).end(JSON.stringify(value));
    });
}

describe("without free descriptors", () => {
  it("serves, starts a runtime process again once there are some, and says why not before", async () => {
    const server = await start();
    const ask = keptConnection(server);
    const expected = await ask("/v1/dictionaries/two/encode", LARGE);
    expect(expected.status).toBe(200);
    const lift = await takeDescriptors(server.process.pid!);
    process.kill(await runtimeOf(server, "one"), "SIGKILL");
    await until(() => /being restarted: a process could not be started: .*EMFILE.*ulimit -n/.test(server.log()));
    expect(await ask("/v1/dictionaries/two/encode", LARGE)).toEqual(expected);
    await lift();
    expect((await ask("/v1/dictionaries/one/encode", SMALL)).status).toBe(200);
  });

  itInFull("tries a load again until there are some", async () => {
    const server = await start();
    const ask = keptConnection(server);
    expect((await ask("/v2/repository/models/one/unload", {})).status).toBe(200);
    const lift = await takeDescriptors(server.process.pid!);
    const loaded = ask("/v2/repository/models/one/load", {});
    await until(() => /Dictionary one is not loaded yet: .*EMFILE.*Trying again/.test(server.log()));
    await lift();
    expect((await loaded).status).toBe(200);
    expect((await ask("/v1/dictionaries/one/encode", SMALL)).status).toBe(200);
  });

  itInFull("keeps some from connections, so that as many clients as can come stop no restart", async () => {
    const server = await start(["prlimit", "--nofile=256"]);
    const idle = await Promise.all(Array.from({ length: 300 }, () => openSocket(server.port).catch(() => null)));
    for (const socket of idle) socket?.on("error", () => {});
    const killed = await runtimeOf(server, "one");
    process.kill(killed, "SIGKILL");
    await until(() => !server.runtimes().includes(killed));
    await runtimeOf(server, "one");
    for (const socket of idle) socket?.destroy();
    await until(async () => {
      const answer = await post<Encoded>(server.base, "/v1/dictionaries/one/encode", SMALL).catch(() => null);
      return answer !== null;
    });
    expect(server.log()).not.toContain("EMFILE");
  });
});

describe("in a small address space", () => {
  it("serves as elsewhere, by fewer threads and without WebAssembly's reservations", async () => {
    const [free, limited] = [await start(), await start(["prlimit", "--as=6000000000"])];
    for (const body of [SMALL, LARGE]) {
      const path = "/v1/dictionaries/one/encode";
      const asked = { ...body, include: ["summary"] };
      const [there, here] = [
        await post<Encoded>(free.base, path, asked),
        await post<Encoded>(limited.base, path, asked),
      ];
      expect(here.codes).toEqual(there.codes);
      expect(here.explained_variance ?? 0).toBeCloseTo(there.explained_variance ?? 0, 9);
    }
    expect(limited.log()).toMatch(/limited to 5\.6 GiB \(ulimit -v\)/);
    expect(free.log()).not.toContain("ulimit");
  });

  itInFull("that is too small does not start, and says so", async () => {
    const server = spawnServer(models, temporaryFolder(), {}, { prefix: ["prlimit", "--as=1800000000"] });
    running.push(server);
    expect(await server.exited).toBe(1);
    expect(server.log()).toMatch(/limited to 1\.7 GiB \(ulimit -v\): too little/);
  });
});
