// Compiles every WebAssembly module of src/: an asconfig.json lies beside the sources of each, in assembly/.
// Run by itself (`npm run kernel`) it compiles all of them.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, realpathSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../", import.meta.url));

/** @param {{ staleOnly: boolean }} options staleOnly: those that are missing or older than a source of theirs */
export function compileKernels({ staleOnly }) {
  const files = readdirSync(join(root, "src"), { recursive: true });
  for (const file of files.filter((path) => path.endsWith("asconfig.json"))) {
    const config = join("src", file);
    if (!staleOnly || isStale(config))
      runInCheckout("node_modules/assemblyscript/bin/asc.js", "--config", config, "--target", "release");
  }
}

/** Runs a script of the checkout, in its root, without this product's settings: keys are among them. Exits if it fails. */
export function runInCheckout(script, ...args) {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("PURSUIT_")));
  const { status } = spawnSync(process.execPath, [join(root, script), ...args], {
    cwd: root,
    env,
    stdio: ["ignore", 2, 2],
  });
  if (status !== 0) process.exit(status ?? 1);
}

function isStale(config) {
  const folder = join(root, dirname(config));
  const { targets } = JSON.parse(readFileSync(join(root, config), "utf8"));
  const built = join(folder, targets.release.outFile);
  if (!existsSync(built)) return true;
  const sources = readdirSync(join(folder, "assembly")).map((name) => join(folder, "assembly", name));
  return [join(root, config), ...sources].some((path) => statSync(path).mtimeMs > statSync(built).mtimeMs);
}

const { argv } = process;
if (argv[1] !== undefined && realpathSync(argv[1]) === fileURLToPath(import.meta.url))
  compileKernels({ staleOnly: false });
