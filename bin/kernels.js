// Compiles every WebAssembly module of src/: an asconfig.json lies beside the sources of each, in assembly/.
// Run by itself (`npm run kernel`) it compiles all of them.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync, realpathSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const ASC = "node_modules/assemblyscript/bin/asc.js";
const root = fileURLToPath(new URL("../", import.meta.url));

/** @param {{ staleOnly: boolean }} options staleOnly: those that are missing or older than a source of theirs */
export async function compileKernels({ staleOnly }) {
  const files = readdirSync(join(root, "src"), { recursive: true });
  const configs = files.filter((path) => path.endsWith("asconfig.json")).map((path) => join("src", path));
  const wanted = configs.filter((config) => !staleOnly || isStale(config));
  await Promise.all(
    wanted.map((config) =>
      runInCheckout(`${dirname(config)}/assembly`, ASC, "--config", config, "--target", "release"),
    ),
  );
}

/** Milliseconds of compiling after which it is told, and again while it goes on. */
const TELL_EVERY = 1_500;

/** What is compiled now. */
const compiling = new Set();

/**
 * Runs a compiler of the checkout, in its root, without this product's settings: keys are among them. Exits if it fails.
 * @param {string} what is compiled, for people
 * @param {string} script of the compiler
 */
export async function runInCheckout(what, script, ...args) {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("PURSUIT_")));
  compiling.add(what);
  // The first of them tells for all.
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
if (argv[1] !== undefined && realpathSync(argv[1]) === fileURLToPath(import.meta.url))
  await compileKernels({ staleOnly: false });
