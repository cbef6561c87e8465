/** `npm ci && npm start` in a fresh checkout: bin/pursuit.js builds what is missing, the kernel too. */
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, readFileSync, statSync, symlinkSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { temporaryFolder } from "../support/temporary-folder.ts";

const BUILT_FROM = ["bin", "src", "asconfig.json", "package.json", "tsconfig.json", "tsconfig.build.json"];
const HERE = join(import.meta.dirname, "../..");

it("builds the command line and the kernel where they are missing or older than their sources", () => {
  const root = temporaryFolder();
  for (const name of BUILT_FROM) cpSync(join(HERE, name), join(root, name), { recursive: true });
  symlinkSync(join(HERE, "node_modules"), join(root, "node_modules"));
  const help = () => spawnSync(process.execPath, [join(root, "bin/pursuit.js"), "--help"], { encoding: "utf8" });
  const kernel = join(root, "dist/kernel/pursuit.wasm");

  const { status, stdout, stderr } = help();
  expect([status, stderr]).toEqual([0, ""]);
  expect(stdout).toContain("serve");
  expect(() => new WebAssembly.Module(readFileSync(kernel))).not.toThrow();
  expect(existsSync(join(root, "dist/engine/executor/main.js"))).toBe(true);

  // As if it had been built before its sources were last changed.
  const before = new Date(1e12);
  utimesSync(kernel, before, before);
  help();
  expect(statSync(kernel).mtimeMs).toBeGreaterThan(before.getTime());
}, 240_000);
