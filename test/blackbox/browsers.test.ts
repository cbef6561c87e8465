/** A server on loopback beside a browser that visits a hostile page. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { sample } from "../support/full.ts";
import { writeModelFolder } from "../support/model-folder.ts";
import { openSocket, type RawAnswer, readAnswer } from "../support/raw-http.ts";
import { type RunningServer, startServer } from "../support/running-server.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

const models = temporaryFolder();
writeModelFolder(models, "small", { atoms: Float32Array.of(1, 0, 0, 1), d: 2 });

let server: RunningServer;
beforeAll(async () => {
  server = await startServer(models, temporaryFolder(), { PURSUIT_ALLOWED_HOSTS: undefined });
});
afterAll(() => server.stop());

/** Written by hand: fetch sets neither Host nor Origin. */
async function ask(line: string, headers: readonly string[], { port } = server): Promise<RawAnswer> {
  const socket = await openSocket(port);
  socket.write(`${[`${line} HTTP/1.1`, ...headers, "connection: close"].join("\r\n")}\r\n\r\n`);
  return readAnswer(socket);
}

describe("a name that a page gave this machine", () => {
  it("is refused, whatever is asked for but health", async () => {
    const hosts = ["evil.example", `evil.example:${server.port}`, "localhost", `localhost:${server.port + 1}`, "x"];
    for (const host of hosts) {
      for (const line of ["GET /v1/dictionaries", "GET /metrics", "GET /docs", "GET /nowhere", "GET /v2/models"]) {
        const answer = await ask(line, [`host: ${host}`, `origin: http://${host}`]);
        expect([host, line, answer.status]).toEqual([host, line, 403]);
        expect(answer.body).toContain(`Use http://127.0.0.1:${server.port}`);
      }
      expect((await ask("GET /health/ready", [`host: ${host}`])).status).toBe(200);
    }
  });

  it("is none of this machine's own", async () => {
    for (const name of ["localhost", "LOCALHOST", "127.0.0.1", "127.0.0.2", "[::1]"]) {
      const answer = await ask("GET /v1/dictionaries", [`host: ${name}:${server.port}`]);
      expect([name, answer.status]).toEqual([name, 200]);
    }
  });

  it("does not matter in the address of a request to a proxy", async () => {
    const host = `host: 127.0.0.1:${server.port}`;
    expect((await ask(`GET http://127.0.0.1:${server.port}/v1/dictionaries`, [host])).status).toBe(200);
    expect((await ask(`GET http://127.0.0.1:${server.port}/v1/dictionaries/none`, [host])).status).toBe(404);
  });
});

describe("a hostile page", () => {
  it("unloads nothing by a request that needs no preflight", async () => {
    const from = [`host: 127.0.0.1:${server.port}`, "origin: http://evil.example", "sec-fetch-site: cross-site"];
    for (const type of ["text/plain", "application/x-www-form-urlencoded"]) {
      const headers = [...from, `content-type: ${type}`, "content-length: 0"];
      expect((await ask("POST /v2/repository/models/small/unload", headers)).status).toBe(403);
    }
    const { state } = (await (await fetch(`${server.base}/v1/dictionaries/small`)).json()) as { state: string };
    expect(state).toBe("ready");
  });
});

describe("listening on every address", () => {
  const WARNING = /is open to every client that reaches it.*PURSUIT_API_KEYS.*PURSUIT_ALLOWED_HOSTS/;
  const open = { PURSUIT_HOST: "0.0.0.0", PURSUIT_ALLOWED_HOSTS: undefined };

  const settings: [string, Record<string, string>, boolean][] = [
    ["warns without keys or allowed hosts", {}, true],
    ["is quiet with a key", { PURSUIT_API_KEYS: "a-key-of-sixteen-or-more" }, false],
    ["is quiet with allowed hosts", { PURSUIT_ALLOWED_HOSTS: "pursuit.example.org" }, false],
  ];
  it.each(sample(settings, 2))("%s", async (_what, env, warns) => {
    const other = await startServer(models, temporaryFolder(), { ...open, ...env });
    expect(WARNING.test(other.log())).toBe(warns);
    const headers = ["host: evil.example", "authorization: Bearer a-key-of-sixteen-or-more"];
    const { status } = await ask("GET /v1/dictionaries", headers, other);
    expect(status).toBe("PURSUIT_ALLOWED_HOSTS" in env ? 403 : 200);
    if (status === 403) {
      const own = [`host: 127.0.0.1:${other.port}`];
      expect((await ask("GET /v1/dictionaries", own, other)).status).toBe(200);
    }
    await other.stop();
  });

  it("says nothing of it on loopback", () => {
    expect(server.log()).not.toMatch(WARNING);
  });
});
