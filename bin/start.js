// Starts the built command line. A checkout first brings dist/ up to date, so that `npm ci && npm start` needs no
// build step. A container image has neither src/ nor a compiler, so nothing is built there.
import { existsSync } from "node:fs";

const root = new URL("../", import.meta.url);
const there = (path) => existsSync(new URL(path, root));
if (there("src/") && there("node_modules/typescript/bin/tsc")) {
  // The first time it takes seconds.
  if (process.argv[2] === "serve") console.error("Bringing dist/ up to date with src/.");
  const { compileKernels, runInCheckout } = await import("./kernels.js");
  compileKernels({ staleOnly: true });
  // The compiler detects by itself what has changed.
  runInCheckout("node_modules/typescript/bin/tsc", "-p", "tsconfig.build.json");
}
await import(new URL("dist/cli/pursuit.js", root).href);
