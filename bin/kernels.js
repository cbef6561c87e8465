// Compiles every WebAssembly module of src/ in one process: an asconfig.json lies beside the sources of each, in assembly/.
// Run by itself (`npm run kernel`) it compiles all of them. docs/decisions/0023-three-wasm-modules.md
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync, realpathSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../", import.meta.url));

/** @param {{ staleOnly: boolean }} options staleOnly: only modules that are missing or older than one of their sources */
export async function compileKernels({ staleOnly }) {
  const files = readdirSync(join(root, "src"), { recursive: true });
  const configs = files.filter((path) => path.endsWith("asconfig.json")).map((path) => join("src", path));
  const wanted = configs.filter((config) => !staleOnly || isStale(config));
  if (wanted.length === 0) return;
  const folders = wanted.map((config) => `${dirname(config)}/assembly`);
  await runInCheckout(folders.join(", "), "bin/kernels.js", ...wanted);
}

/** Compiles in this process: to load the compiler takes longer than any of the modules. Exits if one fails. */
async function compile(configs) {
  const { default: asc } = await import("assemblyscript/asc");
  for (const config of configs) {
    const { error } = await asc.main(["--config", config, "--target", "release"], { stderr: process.stderr });
    if (error !== null) process.exit(1);
  }
}

/** Milliseconds between messages while a compiler runs. */
const TELL_EVERY = 1_500;

/** Names of everything that is being compiled. */
const compiling = new Set();

/**
 * Runs a compiler in the checkout's root, without this product's settings, since they hold keys. Exits if it fails.
 * @param {string} what shown while it runs
 * @param {string} script path of the compiler
 */
export async function runInCheckout(what, script, ...args) {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("PURSUIT_")));
  compiling.add(what);
  // The first compiler prints for all.
  const tell = () => [...compiling][0] === what && console.error(`Compiling ${[...compiling].join(", ")} …`);
  const told = setInterval(tell, TELL_EVERY);
  const compiler = spawn(process.execPath, [join(root, script), ...args], { cwd: root, env, stdio: ["ignore", 2, 2] });
  const [status] = await once(compiler, "exit");
  clearInterval(told);
  compiling.delete(what);
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
if (argv[1] !== undefined && realpathSync(argv[1]) === fileURLToPath(import.meta.url)) {
  const configs = argv.slice(2);
  await (configs.length > 0 ? compile(configs) : compileKernels({ staleOnly: false }));
}
