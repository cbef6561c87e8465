import { describe, expect, it } from "vitest";
import { Fault } from "../../src/engine/core/errors.ts";
import { machineMemory } from "../../src/server/machine-memory.ts";
import {
  describeSetting,
  flagOf,
  resolveSettings,
  SETTING_NAMES,
  type Settings,
  unknownVariables,
  variableOf,
} from "../../src/server/settings.ts";

/** Settings as these variables give them. */
function settingsOf(environment: Record<string, string>): Settings {
  const named = SETTING_NAMES.filter((name) => environment[variableOf(name)] !== undefined);
  return resolveSettings(
    Object.fromEntries(named.map((name) => [name, { value: environment[variableOf(name)], where: variableOf(name) }])),
  );
}

function faultsOf(environment: Record<string, string>): readonly string[] {
  try {
    settingsOf(environment);
  } catch (error) {
    if (error instanceof Fault) return error.faults;
    throw error;
  }
  return [];
}

describe("settings", () => {
  it("have defaults", () => {
    expect(settingsOf({}).port).toBe(8080);
    expect(settingsOf({ PURSUIT_PORT: "81" }).port).toBe(81);
  });

  it("take values of a config file: numbers, texts and lists", () => {
    const where = "pursuit.yaml: x";
    const hosts = { value: ["a.example", "B.example:80"], where };
    expect(resolveSettings({ port: { value: 81, where }, allowedHosts: hosts })).toMatchObject({
      port: 81,
      allowedHosts: ["a.example", "b.example:80"],
    });
    expect(() => resolveSettings({ port: { value: 1e21, where }, runtime: { value: true, where } })).toThrow(
      "pursuit.yaml: x=1e+21 must be an integer from 0 to 65535.\npursuit.yaml: x=true must be one of auto, cpu, cuda.",
    );
  });

  it("are named alike as variables and as flags", () => {
    expect(variableOf("maxBytesInFlight")).toBe("PURSUIT_MAX_BYTES_IN_FLIGHT");
    expect(flagOf("maxBytesInFlight")).toBe("--max-bytes-in-flight");
  });

  it("follow from each other where they are not set", () => {
    const MiB = 2 ** 20;
    const of = (environment: Record<string, string>): readonly number[] => {
      const { memoryLimit, gramLimit, maxBytesInFlight } = settingsOf(environment);
      return [memoryLimit, gramLimit, maxBytesInFlight].map((bytes) => Math.ceil(bytes / MiB));
    };
    const limit = (mebibytes: number): Record<string, string> => ({ PURSUIT_MEMORY_LIMIT: String(mebibytes * MiB) });
    expect(of(limit(2048))).toEqual([2048, 2048, 256]);
    expect(of(limit(16_384))).toEqual([16_384, 16_384, 512]);
    // One body of the largest always fits into the seven eighths that large bodies may have.
    expect(of(limit(256))).toEqual([256, 256, 74]);
    expect(of({ ...limit(2048), PURSUIT_GRAM_LIMIT: "0", PURSUIT_MAX_BYTES_IN_FLIGHT: "1024" })).toEqual([2048, 0, 1]);
    expect(settingsOf({}).memoryLimit).toBe(Math.floor(0.75 * machineMemory()));
  });

  it("are refused with all faults at once", () => {
    expect(faultsOf({ PURSUIT_PORT: "70000", PURSUIT_RUNTIME: "gpu", PURSUIT_BATCH_MS: "1.5" })).toEqual([
      "PURSUIT_PORT=70000 must be an integer from 0 to 65535.",
      "PURSUIT_RUNTIME=gpu must be one of auto, cpu, cuda.",
      "PURSUIT_BATCH_MS=1.5 must be an integer from 1 to 10000.",
    ]);
  });

  it("take keys separated by commas, of 16 characters or more, and never print one", () => {
    const settings = settingsOf({ PURSUIT_API_KEYS: `${"a".repeat(16)}, b-._~+/${"c".repeat(16)}==` });
    expect(settings.apiKeys).toEqual(["a".repeat(16), `b-._~+/${"c".repeat(16)}==`]);
    expect(settingsOf({}).adminKeys).toEqual([]);
    const short = faultsOf({ PURSUIT_API_KEYS: "s3cret", PURSUIT_ADMIN_KEYS: `${"x".repeat(20)},` });
    expect(short).toEqual([
      "PURSUIT_API_KEYS must hold keys of 16 characters or more; the key has 6.",
      "PURSUIT_ADMIN_KEYS must hold keys of 16 characters or more; key 2 of 2 has 0.",
    ]);
    expect(faultsOf({ PURSUIT_API_KEYS: "" })[0]).toMatch(/the key has 0\.$/);
    const [odd] = faultsOf({ PURSUIT_API_KEYS: "with a space in it, or two" });
    expect(odd).toBe("PURSUIT_API_KEYS must hold keys of letters, digits and ._~+/- only; key 1 of 2 has others.");
    expect(faultsOf({ PURSUIT_API_KEYS: "quoted'and\"spaced key" })[0]).toMatch(
      /letters, digits .*; the key has others\.$/,
    );
  });

  it("take origins as browsers write them", () => {
    const given = "https://app.example.org, http://LOCALHOST:3000,chrome-extension://abcdef";
    expect(settingsOf({ PURSUIT_CORS_ORIGINS: given }).corsOrigins).toEqual([
      "https://app.example.org",
      "http://localhost:3000",
      "chrome-extension://abcdef",
    ]);
    for (const wrong of [
      "*",
      "null",
      "app.example.org",
      "https://app.example.org/",
      "https://a.example:443",
      "https://*.b",
    ])
      expect(faultsOf({ PURSUIT_CORS_ORIGINS: `https://fine.example,${wrong}` })[0]).toMatch(
        /must hold origins such as https:\/\/app\.example\.org, without a path; .* is none\.$/,
      );
    expect(faultsOf({ PURSUIT_CORS_ORIGINS: "" })[0]).toMatch(/one is empty\.$/);
  });

  it("take hosts with or without a port, or any", () => {
    const given = "Pursuit.example.org,pursuit:8080,10.1.2.3,[::1]:81";
    expect(settingsOf({ PURSUIT_ALLOWED_HOSTS: given }).allowedHosts).toEqual([
      "pursuit.example.org",
      "pursuit:8080",
      "10.1.2.3",
      "[::1]:81",
    ]);
    expect(settingsOf({ PURSUIT_ALLOWED_HOSTS: "*" }).allowedHosts).toEqual(["*"]);
    for (const wrong of ["http://pursuit", "pursuit/", "*.example.org", "a b", "pursuit:", "::1"])
      expect(faultsOf({ PURSUIT_ALLOWED_HOSTS: wrong })[0]).toContain(`${wrong} is none.`);
  });

  it("know the trap of a Kubernetes Service named pursuit", () => {
    expect(faultsOf({ PURSUIT_PORT: "tcp://10.0.0.1:8080" })[0]).toContain("enableServiceLinks: false");
  });

  it("lose the carriage return that an --env-file with Windows line endings leaves", () => {
    const settings = settingsOf({
      PURSUIT_MAX_ROWS: "100\r",
      PURSUIT_LOG_LEVEL: "warn\r",
      PURSUIT_HOST: "0.0.0.0\r",
      PURSUIT_API_KEYS: `${"a".repeat(16)}\r`,
    });
    expect(settings).toMatchObject({ maxRows: 100, logLevel: "warn", host: "0.0.0.0", apiKeys: ["a".repeat(16)] });
  });

  it("show characters that would not be seen, and say that quotes are part of a value", () => {
    expect(faultsOf({ PURSUIT_MAX_ROWS: "10\t0", PURSUIT_PORT: "'80'", PURSUIT_HOST: '"0.0.0.0"' })).toEqual([
      expect.stringMatching(/^PURSUIT_HOST="0\.0\.0\.0" must not be in quotes\. The quotes are part of the value/),
      expect.stringMatching(/^PURSUIT_PORT='80' must be an integer.*The quotes are part of the value/),
      expect.stringMatching(/^PURSUIT_MAX_ROWS="10\\t0" must be an integer/),
    ]);
    expect(faultsOf({ PURSUIT_MODELS_DIR: "mod\u0007els" })[0]).toMatch(/must not hold control characters/);
  });

  it("say which variables are no settings", () => {
    expect(unknownVariables({ PURSUIT_PROT: "1", PURSUIT_PORT: "1", PATH: "" })).toEqual(["PURSUIT_PROT"]);
  });

  it("each have a description", () => {
    for (const name of SETTING_NAMES) expect(describeSetting(name).description).not.toBe("");
  });
});
