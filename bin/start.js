// Starts the built command line. A checkout first brings dist/ up to date, so that `npm ci && npm start` needs no
// build step. A container image has neither src/ nor a compiler, so nothing is built there.
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";

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
    pageIsStale() && runInCheckout("the page", "node_modules/vite/bin/vite.js", "build", "web"),
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

/** Whether the explorer's page is missing, or older than a source of it. A checkout without web/ has none to build. */
function pageIsStale() {
  if (!there("web/") || !there("node_modules/vite/bin/vite.js")) return false;
  if (!there("dist/ui/index.html")) return true;
  const built = statSync(new URL("dist/ui/index.html", root)).mtimeMs;
  const sources = readdirSync(new URL("web/", root), { recursive: true }).map((path) => `web/${path}`);
  return ["package.json", ...sources].some((path) => statSync(new URL(path, root)).mtimeMs > built);
}
