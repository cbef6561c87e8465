#!/usr/bin/env node
// Starts the built command line. In a checkout it first brings dist/ up to date, so that `npm ci && npm start`
// needs no build step; in a container image there is neither src/ nor a compiler, and nothing is built.
import { existsSync } from "node:fs";

const root = new URL("../", import.meta.url);
const there = (path) => existsSync(new URL(path, root));
if (there("src/") && there("node_modules/typescript/bin/tsc")) {
  const { compileKernels, runInCheckout } = await import("./kernels.js");
  compileKernels({ staleOnly: true });
  // The compiler knows of its own what has changed.
  runInCheckout("node_modules/typescript/bin/tsc", "-p", "tsconfig.build.json");
}
await import(new URL("dist/cli/pursuit.js", root).href);
