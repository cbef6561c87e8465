/** Keys given to the real command line: no process it starts, no process list, no log and no output has them. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { writeModelFolder } from "../support/model-folder.ts";
import { itInFull } from "../support/full.ts";
import { runCli } from "../support/run-cli.ts";
import { startServer } from "../support/running-server.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

const API = "an-api-key+of/some.length==";
const ADMIN = "a-management-key-as-a-flag";
const MISSPELT = "a-key-under-another-name";
const KEYS = [API, ADMIN, MISSPELT];

/** Has every Node process and thread write down what it was started with, but for the first. */
function recorder(): { readonly env: Record<string, string>; readonly started: () => readonly string[] } {
  const folder = temporaryFolder();
  const script = join(folder, "record.cjs");
  writeFileSync(
    script,
    `const { isMainThread, threadId } = require("node:worker_threads");
     const first = isMainThread && process.env.RECORD_FIRST === undefined;
     process.env.RECORD_FIRST = "seen";
     if (!first) require("node:fs").writeFileSync(
       ${JSON.stringify(folder)} + "/" + process.pid + "-" + threadId + ".json",
       JSON.stringify([process.argv, process.execArgv, process.env]),
     );`,
  );
  const started = (): readonly string[] =>
    readdirSync(folder)
      .filter((name) => name.endsWith(".json"))
      .map((name) => readFileSync(join(folder, name), "utf8"));
  return { env: { NODE_OPTIONS: `--require ${script}` }, started };
}

const expectNone = (text: string): void => {
  for (const key of KEYS) {
    expect(text).not.toContain(key);
    expect(text).not.toContain(encodeURIComponent(key));
  }
};

describe("a server", () => {
  it("hands no key on, and writes none down", async () => {
    const models = temporaryFolder();
    writeModelFolder(models, "small", { atoms: Float32Array.of(1, 0, 0, 1), d: 2 });
    const { env, started } = recorder();
    const settings = { ...env, PURSUIT_API_KEYS: API, PURSUIT_API_KEY: MISSPELT, PURSUIT_LOG_LEVEL: "trace" };
    const flags = ["--admin-keys", ADMIN];
    const server = await startServer(models, temporaryFolder(), settings, { flags });

    const encode = `${server.base}/v1/dictionaries/small/encode`;
    const body = JSON.stringify({ inputs: Array.from({ length: 10_000 }, () => [1, 2]) });
    const headers = { "content-type": "application/json", authorization: `Bearer ${API}` };
    expect((await fetch(encode, { method: "POST", headers, body })).status).toBe(200);
    for (const key of [API, ADMIN, "unknown-key"]) {
      await fetch(`${server.base}/v1/dictionaries?access_token=${encodeURIComponent(key)}`);
      await fetch(`${server.base}/metrics?${encodeURIComponent(key)}`, { headers: { authorization: `Bearer ${key}` } });
    }
    await fetch(`${server.base}/nowhere/${encodeURIComponent(API)}`);
    for (const pid of [server.process.pid!, ...server.runtimes()]) {
      expectNone(readFileSync(`/proc/${pid}/cmdline`, "utf8"));
    }
    for (const pid of server.runtimes()) expectNone(readFileSync(`/proc/${pid}/environ`, "utf8"));
    await server.stop();
    expect(started().length).toBeGreaterThan(0);
    expectNone(started().join("\n"));
    expect(server.log()).toContain("PURSUIT_API_KEY is not a setting");
    expect(server.log()).toContain('"path":"/v1/dictionaries"');
    expectNone(server.log());
    expect(server.log()).not.toContain("unknown-key");
  });
});

describe("the command line", () => {
  it("doctor hands no key on and prints none", async () => {
    const { env, started } = recorder();
    const { stdout, stderr } = await runCli(["doctor"], { ...env, PURSUIT_API_KEYS: API, PURSUIT_ADMIN_KEYS: ADMIN });
    expect(stdout).toContain("works");
    expect(started()).toHaveLength(1);
    expectNone([stdout, stderr, ...started()].join("\n"));
  });

  itInFull("repeats no key in an error", async () => {
    for (const args of [
      ["serve", `--api-key=${MISSPELT}`],
      ["serve", "--api-key", MISSPELT],
      ["serve", "--api-keys", "short", "--admin-keys", `${ADMIN} with a space`],
      ["verify", "none", "--rows", API, "--codes", "none"],
    ]) {
      const { code, stdout, stderr } = await runCli(args, {
        PURSUIT_API_KEYS: API,
        PURSUIT_MODELS_DIR: temporaryFolder(),
      });
      expect(code).toBe(1);
      expect(stderr).not.toBe("");
      expectNone(stdout + stderr);
    }
  });
});
