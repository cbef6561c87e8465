// Starts the built command line. A checkout first brings dist/ up to date, so that `npm ci && npm start` needs no
// build step. A container image has neither src/ nor a compiler, so nothing is built there.
import { existsSync } from "node:fs";

const root = new URL("../", import.meta.url);
const there = (path) => existsSync(new URL(path, root));
if (there("src/") && there("node_modules/typescript/bin/tsc")) {
  if (!there("dist/cli/pursuit.js")) console.error("Building dist/ from src/: the first time takes some ten seconds.");
  const { compileKernels, runInCheckout } = await import("./kernels.js");
  await Promise.all([
    compileKernels({ staleOnly: true }),
    // The compiler detects by itself what has changed.
    runInCheckout("TypeScript", "node_modules/typescript/bin/tsc", "-p", "tsconfig.build.json"),
  ]);
}
await import(new URL("dist/cli/pursuit.js", root).href);
