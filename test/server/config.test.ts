import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Command } from "commander";
import { afterEach, describe, expect, it, vi } from "vitest";
import { addSettings, readSettings, redact, settingsOf } from "../../src/server/config.ts";
import type { Settings } from "../../src/server/settings.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

const folder = temporaryFolder();
afterEach(() => vi.unstubAllEnvs());

function configFile(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

const served = (...flags: string[]): Promise<Settings> =>
  settingsOf(addSettings(new Command()).parse(flags, { from: "user" }));

describe("settings", () => {
  it("come from the flag, else the variable, else the config file, else the default", async () => {
    const config = configFile("order.yaml", "port: 81\nmax-rows: 82\nbatch-ms: 83\n");
    vi.stubEnv("PURSUIT_PORT", "91");
    vi.stubEnv("PURSUIT_MAX_ROWS", "92");
    const settings = await served("--port", "71", "--config", config);
    expect(settings).toMatchObject({ port: 71, maxRows: 92, batchMs: 83, degradeMs: 100 });
  });

  it("come from the config file that PURSUIT_CONFIG names, for every command", async () => {
    const path = configFile(
      "models.json",
      JSON.stringify({ "models-dir": "/srv/models", "cors-origins": ["https://a.b"] }),
    );
    vi.stubEnv("PURSUIT_CONFIG", path);
    expect(await readSettings({ logLevel: "error" })).toMatchObject({
      modelsDir: "/srv/models",
      corsOrigins: ["https://a.b"],
      logLevel: "error",
    });
  });

  it("are refused with the faults of all sources at once", async () => {
    const config = configFile("faults.yaml", "prot: 1\nport: 70000\nruntime: [cpu, {}]\n");
    vi.stubEnv("PURSUIT_BATCH_MS", "0");
    await expect(served("--config", config, "--load", "soon")).rejects.toThrow(
      [
        `${config}: prot is not a setting. Did you mean port?`,
        `${config}: runtime must be a text, a number or a list of texts.`,
        `${config}: port=70000 must be an integer from 0 to 65535.`,
        "PURSUIT_BATCH_MS=0 must be an integer from 1 to 10000.",
        "--load=soon must be one of eager, lazy.",
      ].join("\n"),
    );
  });

  it("take a variable that is set and empty for given", async () => {
    vi.stubEnv("PURSUIT_HOST", "");
    await expect(served()).rejects.toThrow('PURSUIT_HOST="" must not be empty.');
  });

  it("show no key of a config file, in faults and in other texts", async () => {
    const key = "k".repeat(20);
    await served("--config", configFile("keys.yaml", `api-keys: ${key}\n`));
    expect(redact(`a text with ${key}`)).not.toContain(key);
    const broken = configFile("broken-key.yaml", 'api-keys: "sh0rt"\n');
    await expect(served("--config", broken)).rejects.toThrow(/api-keys must hold keys of 16 characters or more/);
  });

  it.each([
    ["a list", "- port\n", /must hold settings, one a line/],
    ["a text that is not YAML", "port: [1\n", /is not YAML or JSON: .* at line/],
    ["a name twice", "port: 1\nport: 2\n", /is not YAML or JSON: .*unique/],
    [
      "aliases that grow",
      `a: &a [x]\n${["b", "c", "d", "e", "f"].map((c, i) => `${c}: &${c} [${`*${"abcde"[i]},`.repeat(9)}]`).join("\n")}`,
      /cannot be read: Excessive alias/,
    ],
  ])("are refused where the config file holds %s", async (_name, text, message) => {
    await expect(served("--config", configFile("wrong.yaml", text))).rejects.toThrow(message);
  });

  it("are the defaults where the config file is empty, and refused where it is missing", async () => {
    expect((await served("--config", configFile("empty.yaml", "# nothing\n"))).port).toBe(8080);
    await expect(served("--config", join(folder, "none.yaml"))).rejects.toThrow(/none\.yaml cannot be read: ENOENT/);
  });
});
