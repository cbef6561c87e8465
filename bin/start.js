// Starts the built command line. A checkout first brings dist/ up to date, so that `npm ci && npm start` needs no
// build step. A container image has neither src/ nor a compiler, so nothing is built there.
import { existsSync, readFileSync } from "node:fs";

const root = new URL("../", import.meta.url);
const there = (path) => existsSync(new URL(path, root));
if (there("src/") && there("node_modules/typescript/bin/tsc")) {
  if (dependenciesChanged()) {
    console.error("package-lock.json has changed since the dependencies were installed. Run: npm ci");
    process.exit(1);
  }
  if (!there("dist/cli/pursuit.js")) console.error("Building dist/ from src/: the first time takes some ten seconds.");
  const { compileKernels, runInCheckout } = await import("./kernels.js");
  await Promise.all([
    compileKernels({ staleOnly: true }),
    // The compiler detects by itself what has changed.
    runInCheckout("TypeScript", "node_modules/typescript/bin/tsc", "-p", "tsconfig.build.json"),
  ]);
}
await import(new URL("dist/cli/pursuit.js", root).href);

/** Whether node_modules lacks a package of package-lock.json, or holds another version: compiling would fail in places. */
function dependenciesChanged() {
  const [wanted, installed] = ["package-lock.json", "node_modules/.package-lock.json"].map((file) =>
    there(file) ? JSON.parse(readFileSync(new URL(file, root), "utf8")).packages : undefined,
  );
  if (wanted === undefined || installed === undefined) return false;
  return Object.entries(wanted).some(
    ([path, { version, optional, devOptional }]) =>
      path !== "" && !optional && !devOptional && installed[path]?.version !== version,
  );
}
