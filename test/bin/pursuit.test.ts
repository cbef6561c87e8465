/** bin/pursuit.js refuses an old Node with one line, and old versions can parse it. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Script } from "node:vm";
import { expect, it } from "vitest";

const BIN = fileURLToPath(new URL("../../bin/pursuit.js", import.meta.url));

/** Runs `pursuit import --help` on this Node, which reports another version. */
function runAs(version: string): { readonly status: number | null; readonly stdout: string; readonly stderr: string } {
  const fake = `data:text/javascript,Object.defineProperty(process, "version", { value: "v${version}" })`;
  return spawnSync(process.execPath, ["--import", fake, BIN, "import", "--help"], { encoding: "utf8" });
}

it.each(["12.22.12", "14.0.0", "18.20.8", "20.0.0", "20.18.3"])("Node %s is refused in one line", (version) => {
  const { status, stdout, stderr } = runAs(version);
  expect([status, stdout]).toEqual([1, ""]);
  expect(stderr).toBe(
    `pursuit needs Node 20.19 or later; this is Node ${version}. Install a newer one: https://nodejs.org\n`,
  );
});

it.each(["20.19.0", "22.0.0"])("Node %s is accepted", (version) => {
  const { status, stderr } = runAs(version);
  expect([status, stderr]).toEqual([0, expect.not.stringContaining("needs Node")]);
});

it.runIf(process.platform === "linux")("says in one line that too few files can be opened", () => {
  const limited = (files: number) =>
    spawnSync("prlimit", [`--nofile=${files}:${files}`, process.execPath, BIN, "--version"], { encoding: "utf8" });
  const { status, stdout, stderr } = limited(150);
  // A checkout also says that it compiles.
  const lines = stderr.replaceAll(/^Compiling .*\n/gm, "");
  expect([status, stdout]).toEqual([1, ""]);
  expect(lines).toMatch(/^pursuit needs at least 256 open files to start, .*ulimit -n 65536\n$/);
  expect(limited(256).status).toBe(0);
});

it("package.json and README name the same version", () => {
  const read = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");
  expect(JSON.parse(read("package.json"))).toMatchObject({ engines: { node: ">=20.19" } });
  expect(read("README.md")).toContain("Node ≥ 20.19");
});

it("uses no static import and no top-level await, which old versions cannot parse", () => {
  const script = readFileSync(BIN, "utf8").replace(/^#!.*/, "");
  // A classic script takes neither.
  expect(() => new Script(script)).not.toThrow();
  expect(script).not.toMatch(/\?\?|\?\.|\|\|=|#[a-z]/);
});
