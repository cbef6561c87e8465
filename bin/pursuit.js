#!/usr/bin/env node
// Starts the built command line. In a checkout it first brings dist/ up to date, so that `npm ci && npm start`
// needs no build step; in a container image there is neither src/ nor a compiler, and nothing is built.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = new URL("../", import.meta.url);
const compiler = new URL("node_modules/typescript/bin/tsc", root);
if (existsSync(new URL("src/", root)) && existsSync(compiler)) {
  const build = spawnSync(
    process.execPath,
    [fileURLToPath(compiler), "-p", fileURLToPath(new URL("tsconfig.build.json", root))],
    { stdio: ["ignore", 2, 2] },
  );
  if (build.status !== 0) process.exit(build.status ?? 1);
}
await import(new URL("dist/cli/pursuit.js", root).href);
