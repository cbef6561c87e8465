import { describe, expect, it } from "vitest";
import {
  flagOf,
  resolveSettings,
  SETTINGS,
  SettingsFault,
  unknownVariables,
  variableOf,
} from "../../src/server/settings.ts";

function faultsOf(environment: Record<string, string>): readonly string[] {
  try {
    resolveSettings(environment);
  } catch (error) {
    if (error instanceof SettingsFault) return error.faults;
    throw error;
  }
  return [];
}

describe("settings", () => {
  it("have defaults, which the environment overrides, which flags override", () => {
    expect(resolveSettings({}).port).toBe(8080);
    expect(resolveSettings({ PURSUIT_PORT: "81" }).port).toBe(81);
    expect(resolveSettings({ PURSUIT_PORT: "81" }, { port: "82" }).port).toBe(82);
  });

  it("are named alike as variables and as flags", () => {
    expect(variableOf("maxBytesInFlight")).toBe("PURSUIT_MAX_BYTES_IN_FLIGHT");
    expect(flagOf("maxBytesInFlight")).toBe("--max-bytes-in-flight");
  });

  it("are refused with all faults at once", () => {
    expect(faultsOf({ PURSUIT_PORT: "70000", PURSUIT_RUNTIME: "gpu", PURSUIT_BATCH_MS: "1.5" })).toEqual([
      "PURSUIT_PORT=70000 must be an integer from 0 to 65535.",
      "PURSUIT_RUNTIME=gpu must be one of auto, cpu, cuda.",
      "PURSUIT_BATCH_MS=1.5 must be an integer from 1 to 10000.",
    ]);
  });

  it("never print a key, and refuse to run as if keys were checked", () => {
    const [fault] = faultsOf({ PURSUIT_API_KEYS: "s3cret" });
    expect(fault).toMatch(/^PURSUIT_API_KEYS is not built yet/);
    expect(fault).not.toContain("s3cret");
  });

  it("know the trap of a Kubernetes Service named pursuit", () => {
    expect(faultsOf({ PURSUIT_PORT: "tcp://10.0.0.1:8080" })[0]).toContain("enableServiceLinks: false");
  });

  it("say which variables are no settings", () => {
    expect(unknownVariables({ PURSUIT_PROT: "1", PURSUIT_PORT: "1", PATH: "" })).toEqual(["PURSUIT_PROT"]);
  });

  it("each have a description", () => {
    for (const setting of Object.values(SETTINGS)) expect(setting.describe).not.toBe("");
  });
});
