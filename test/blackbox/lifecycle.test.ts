/** What happens to requests when runtime processes die or hang, and what `pursuit serve` says at its start. Linux: reads /proc. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type Encoded, post } from "../support/client.ts";
import { itInFull } from "../support/full.ts";
import { writeModelFolder } from "../support/model-folder.ts";
import { runCli } from "../support/run-cli.ts";
import { type RunningServer, runtimeOf, runtimeStateOf, startServer } from "../support/running-server.ts";
import { normals, randomAtoms } from "../support/seeded.ts";
import { killedAfterEach } from "../support/kill-after.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";
import { D, requestOf, twoDictionaries } from "../support/two-dictionaries.ts";
import { until } from "../support/until.ts";

const models = twoDictionaries();
const cache = temporaryFolder();

const running = killedAfterEach();
async function start(env: Record<string, string> = {}): Promise<RunningServer> {
  const server = await startServer(models, cache, env);
  running.push(server);
  return server;
}
const encode = (server: RunningServer, id: string, seed: number): Promise<Encoded> =>
  post(server.base, `/v1/dictionaries/${id}/encode`, requestOf(seed));

describe("the server", () => {
  it("answers each of 200 requests rightly while its runtime processes are killed", async () => {
    const server = await start();
    const expected = await Promise.all(Array.from({ length: 200 }, (_, i) => encode(server, i % 2 ? "one" : "two", i)));
    const first = server.runtimes();
    const again = expected.map((_, i) => encode(server, i % 2 ? "one" : "two", i));
    await again[10];
    for (const pid of first) process.kill(pid, "SIGSEGV");
    expect(await Promise.all(again)).toEqual(expected);
    const metrics = await (await fetch(`${server.base}/metrics`)).text();
    for (const id of ["one", "two"])
      expect(metrics).toContain(`pursuit_runtime_restarts_total{dictionary="${id}",reason="crash"} 1`);
    expect(server.runtimes()).not.toEqual(expect.arrayContaining([first[0]]));
  });

  itInFull("answers for one dictionary while the runtime process of another is started anew", async () => {
    const server = await start();
    const expected = { one: await encode(server, "one", 1), two: await encode(server, "two", 1) };
    const before = await runtimeOf(server, "one");
    process.kill(before, "SIGKILL");
    await until(() => !server.runtimes().includes(before));
    const anew = await runtimeOf(server, "one");
    // It loads for as long as it is stopped.
    process.kill(anew, "SIGSTOP");
    const waiting = encode(server, "one", 1);
    for (let i = 0; i < 3; i++) expect(await encode(server, "two", 1)).toEqual(expected.two);
    expect(await runtimeStateOf(server, "one")).toBe("restarting");
    process.kill(anew, "SIGCONT");
    expect(await waiting).toEqual(expected.one);
  });

  itInFull(
    "encodes by the manifest that it has loaded, whatever lies in the folder when a runtime process is started anew",
    async () => {
      const folder = temporaryFolder();
      writeModelFolder(folder, "one", { atoms: randomAtoms(512, D, 1), d: D });
      const server = await startServer(folder, cache);
      running.push(server);
      const expected = await encode(server, "one", 1);
      const path = join(folder, "one", "dictionary.json");
      const manifest = JSON.parse(readFileSync(path, "utf8"));
      writeFileSync(path, JSON.stringify({ ...manifest, encoder: { ...manifest.encoder, score: "absolute" } }));
      for (const pid of server.runtimes()) process.kill(pid, "SIGSEGV");
      expect(await encode(server, "one", 1)).toEqual(expected);
      // The other encoder is another version, for a load to serve.
      expect((await fetch(`${server.base}/v2/repository/models/one/load`, { method: "POST" })).status).toBe(200);
      expect(await encode(server, "one", 1)).not.toEqual(expected);
    },
  );

  itInFull("takes a stopped runtime process for hung, replaces it, and answers", async () => {
    const server = await start({ PURSUIT_WATCHDOG_MS: "2000" });
    const expected = await encode(server, "one", 1);
    for (const pid of server.runtimes()) process.kill(pid, "SIGSTOP");
    expect(await encode(server, "one", 1)).toEqual(expected);
    const metrics = await (await fetch(`${server.base}/metrics`)).text();
    expect(metrics).toContain('pursuit_runtime_restarts_total{dictionary="one",reason="watchdog"} 1');
  });

  itInFull(
    "answers for one dictionary while the runtime process of another hangs, and says which one does",
    async () => {
      // Within the time of this test nobody is rescued by the watchdog.
      const server = await start({ PURSUIT_WATCHDOG_MS: "600000" });
      const expected = await encode(server, "two", 1);
      const hung = await runtimeOf(server, "one");
      process.kill(hung, "SIGSTOP");
      const code = { indices: [0], values: [1] };
      const stuck = [
        encode(server, "one", 1),
        post(server.base, "/v1/dictionaries/one/decode", { codes: [code] }),
        encode(server, "one", 2),
      ];
      for (let i = 0; i < 5; i++) expect(await encode(server, "two", 1)).toEqual(expected);
      await until(async () => (await runtimeStateOf(server, "one")) === "hung");
      expect(await runtimeStateOf(server, "two")).toBe("running");
      const ready = await fetch(`${server.base}/health/ready`);
      expect(ready.status).toBe(200);
      expect(await ready.json()).toEqual({
        status: "ready",
        dictionaries: [{ id: "one", state: "ready", runtime_state: "hung", faults: [] }],
      });
      expect((await fetch(`${server.base}/v2/models/one/ready`)).status).toBe(503);
      expect((await fetch(`${server.base}/v2/models/two/ready`)).status).toBe(200);
      process.kill(hung, "SIGCONT");
      expect(await Promise.all(stuck)).toHaveLength(3);
      expect(await (await fetch(`${server.base}/health/ready`)).json()).toEqual({ status: "ready" });
    },
  );

  it("answers 504 when the time allowed passes, and 499 costs nobody else anything", async () => {
    const server = await start();
    await expect(
      post(server.base, "/v1/dictionaries/one/encode", { ...requestOf(1), timeout_ms: 1e-3 }),
    ).rejects.toThrow(/504.*PURSUIT_TIMEOUT/);
    const leaving = new AbortController();
    const left = fetch(`${server.base}/v1/dictionaries/one/encode`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(requestOf(2)),
      signal: leaving.signal,
    });
    const staying = encode(server, "one", 2);
    leaving.abort();
    await expect(left).rejects.toMatchObject({ name: "AbortError" });
    expect(await staying).toMatchObject({ dictionary: "one" });
  });

  itInFull("refuses a body that all the bytes in flight could not hold, for good", async () => {
    const server = await start({ PURSUIT_MAX_BYTES_IN_FLIGHT: "1024" });
    const answer = await fetch(`${server.base}/v1/dictionaries/one/encode`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ inputs: Array.from({ length: 4 }, (_, i) => [...normals(D, i)]) }),
    });
    expect(answer.status).toBe(413);
    expect(answer.headers.get("retry-after")).toBeNull();
    expect(await answer.json()).toMatchObject({
      code: "PURSUIT_BODY_TOO_LARGE",
      detail: expect.stringMatching(/over 1024 bytes/) as string,
    });
  });
});

describe("pursuit serve", () => {
  it("refuses to start with all faults of its settings at once", async () => {
    const { code, stderr } = await runCli(["serve", "--port", "x"], {
      PURSUIT_RUNTIME: "tpu",
      PURSUIT_MODELS_DIR: models,
    });
    expect(code).toBe(1);
    expect(stderr).toContain("--port=x must be an integer");
    expect(stderr).toContain("PURSUIT_RUNTIME=tpu must be one of auto, cpu, cuda");
  });

  itInFull("refuses to start with keys that are too short, and does not print them", async () => {
    const { code, stderr } = await runCli(["serve"], { PURSUIT_API_KEYS: "hush", PURSUIT_MODELS_DIR: models });
    expect(code).toBe(1);
    expect(stderr).toContain("PURSUIT_API_KEYS must hold keys of 16 characters or more");
    expect(stderr).not.toContain("hush");
  });

  itInFull("asks for its keys, and hands them neither to its log nor to the processes that it starts", async () => {
    const [key, admin] = ["an-api-key-of-some-length", "the-management-key-itself"] as const;
    const server = await start({ PURSUIT_API_KEYS: key, PURSUIT_ADMIN_KEYS: admin, PURSUIT_LOG_LEVEL: "debug" });
    const asked = async (authorization?: string): Promise<number> =>
      (await fetch(`${server.base}/v1/dictionaries`, { headers: authorization ? { authorization } : {} })).status;
    expect(await asked()).toBe(401);
    expect(await asked(`Bearer ${key}x`)).toBe(401);
    expect(await asked(`Bearer ${key}`)).toBe(200);
    expect(await asked(`Bearer ${admin}`)).toBe(200);
    expect((await fetch(`${server.base}/health/ready`)).status).toBe(200);
    expect(server.runtimes().length).toBeGreaterThan(0);
    for (const pid of server.runtimes()) expect(readFileSync(`/proc/${pid}/environ`, "utf8")).not.toMatch(/key/i);
    expect(server.log()).toContain('"answered"');
    for (const secret of [key, admin]) expect(server.log()).not.toContain(secret);
  });

  itInFull("says whose port it is that is taken", async () => {
    const server = await start();
    const { code, stderr } = await runCli(["serve", "--port", String(server.port), "--models-dir", models]);
    expect(code).toBe(1);
    expect(stderr).toContain(`127.0.0.1:${server.port} is in use by another process`);
  });

  itInFull("says which folder it cannot read", async () => {
    const { code, stderr } = await runCli(["serve", "--models-dir", `${models}/none`]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/cannot be read \(ENOENT\).*PURSUIT_MODELS_DIR/);
  });
});

describe("pursuit doctor", () => {
  it("tries the runtimes and says which binding it found", async () => {
    const { code, stdout } = await runCli(["doctor"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^onnxruntime-node\s+\d+\.\d+\.\d+$/m);
    expect(stdout).toMatch(/^cpu\s+works$/m);
  });
});
