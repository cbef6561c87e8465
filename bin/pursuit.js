#!/usr/bin/env node
// Starts the built command line. In a checkout it first brings dist/ up to date, so that `npm ci && npm start`
// needs no build step; in a container image there is neither src/ nor a compiler, and nothing is built.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = new URL("../", import.meta.url);
const compiler = new URL("node_modules/typescript/bin/tsc", root);
if (existsSync(new URL("src/", root)) && existsSync(compiler)) {
  if (!isFresh("dist/kernel/pursuit.wasm", ["asconfig.json", ...kernelSources()]))
    run("node_modules/assemblyscript/bin/asc.js", "--config", "asconfig.json", "--target", "release");
  run("node_modules/typescript/bin/tsc", "-p", "tsconfig.build.json");
}
await import(new URL("dist/cli/pursuit.js", root).href);

function kernelSources() {
  const folder = "src/engine/executor/kernel/assembly/";
  return readdirSync(new URL(folder, root)).map((name) => folder + name);
}

/** Whether a file is there and none of its sources is newer. The TypeScript compiler knows that of its own. */
function isFresh(file, sources) {
  if (!existsSync(new URL(file, root))) return false;
  const changed = (path) => statSync(new URL(path, root)).mtimeMs;
  return sources.every((source) => changed(source) <= changed(file));
}

/** A script of the checkout, in its root; its failure is ours. */
function run(script, ...args) {
  const { status } = spawnSync(process.execPath, [fileURLToPath(new URL(script, root)), ...args], {
    cwd: fileURLToPath(root),
    stdio: ["ignore", 2, 2],
  });
  if (status !== 0) process.exit(status ?? 1);
}
