import { homedir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { Fault } from "../../src/engine/core/errors.ts";
import { resolveHubSettings } from "../../src/server/hub-settings.ts";

describe("resolveHubSettings", () => {
  it("has Hugging Face's own defaults", () => {
    expect(resolveHubSettings({})).toEqual({
      endpoint: "https://huggingface.co",
      cacheDir: join(homedir(), ".cache", "huggingface", "hub"),
      offline: false,
      timeoutMs: 10_000,
    });
  });

  it.each([
    [{ HF_HUB_CACHE: "/c", HF_HOME: "/h" }, { cacheDir: "/c" }],
    [{ HF_HOME: "/h", XDG_CACHE_HOME: "/x" }, { cacheDir: join("/h", "hub") }],
    [{ XDG_CACHE_HOME: "/x" }, { cacheDir: join("/x", "huggingface", "hub") }],
    [{ HF_ENDPOINT: "http://127.0.0.1:8000/" }, { endpoint: "http://127.0.0.1:8000" }],
    [{ HF_TOKEN: " hf_x\n" }, { token: "hf_x" }],
    [{ HF_HUB_OFFLINE: "1" }, { offline: true }],
    [{ HF_HUB_OFFLINE: "0" }, { offline: false }],
    [{ HF_HUB_DOWNLOAD_TIMEOUT: "2.5" }, { timeoutMs: 2500 }],
  ])("reads %j", (environment, expected) => expect(resolveHubSettings(environment)).toMatchObject(expected));

  it("tells every fault at once, and no token", () => {
    const environment = { HF_ENDPOINT: "ftp://x", HF_TOKEN: "hf_a b", HF_HUB_DOWNLOAD_TIMEOUT: "soon" };
    const faults = (): readonly string[] => {
      try {
        resolveHubSettings(environment);
        return [];
      } catch (error) {
        return (error as Fault).faults;
      }
    };
    expect(faults()).toEqual([
      expect.stringContaining("HF_ENDPOINT"),
      expect.stringContaining("HF_TOKEN"),
      expect.stringContaining("HF_HUB_DOWNLOAD_TIMEOUT"),
    ]);
    expect(faults().join()).not.toContain("hf_a");
  });
});
