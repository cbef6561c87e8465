/** `npm ci && npm start` in a fresh checkout: bin/pursuit.js builds what is missing, WebAssembly modules too. */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { expect, it } from "vitest";
import { childrenOf, isAlive } from "../support/process-figures.ts";
import { itInFull } from "../support/full.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";
import { until } from "../support/until.ts";

const BUILT_FROM = ["bin", "src", "web", "package.json", "tsconfig.json", "tsconfig.build.json"];
const HERE = join(import.meta.dirname, "../..");

/** Those that the sources load. */
function modules(): readonly string[] {
  const sources = readdirSync(join(HERE, "src"), { recursive: true, encoding: "utf8" }).filter((path) =>
    path.endsWith(".ts"),
  );
  const load = /"#(dist\/[^"]+\.wasm)"/g;
  return sources.flatMap((path) =>
    Array.from(readFileSync(join(HERE, "src", path), "utf8").matchAll(load), ([, file]) => file!),
  );
}

itInFull(
  "builds the command line and every WebAssembly module where they are missing or older than their sources",
  () => {
    const root = temporaryFolder();
    for (const name of BUILT_FROM) cpSync(join(HERE, name), join(root, name), { recursive: true });
    symlinkSync(join(HERE, "node_modules"), join(root, "node_modules"));
    const help = () => spawnSync(process.execPath, [join(root, "bin/pursuit.js"), "--help"], { encoding: "utf8" });
    const built = modules().map((file) => join(root, file));
    expect(built.length).toBeGreaterThan(1);

    const { status, stdout, stderr } = help();
    expect(status).toBe(0);
    // It says at once that it builds, and goes on telling.
    expect(stderr).toMatch(/^Building dist\/ from src\/.*\n(?:Compiling .* …\n)*$/);
    expect(stdout).toContain("serve");
    for (const file of built) expect(() => new WebAssembly.Module(readFileSync(file))).not.toThrow();
    const page = join(root, "dist/ui/index.html");
    for (const file of [join(root, "dist/engine/runtime/process/main.js"), page])
      expect([file, existsSync(file)]).toEqual([file, true]);

    // As if it had been built before its sources were last changed.
    const before = new Date(1e12);
    for (const file of [...built, page]) utimesSync(file, before, before);
    expect(help().stderr).not.toContain("Building dist/");
    for (const file of [...built, page]) expect(statSync(file).mtimeMs).toBeGreaterThan(before.getTime());
  },
  240_000,
);

it("asks for npm ci where the installed packages are not those of package-lock.json", () => {
  const root = temporaryFolder();
  for (const name of ["bin", "src", "package.json"]) cpSync(join(HERE, name), join(root, name), { recursive: true });
  mkdirSync(join(root, "node_modules"));
  symlinkSync(join(HERE, "node_modules/typescript"), join(root, "node_modules/typescript"));
  const lock = (packages: object): string => JSON.stringify({ packages: { "": { version: "0.1.0" }, ...packages } });
  const other = { "node_modules/other-system": { version: "1.0.0", optional: true } };
  writeFileSync(join(root, "package-lock.json"), lock({ "node_modules/fastify": { version: "5.0.1" }, ...other }));
  for (const installed of [{}, { "node_modules/fastify": { version: "5.0.0" } }]) {
    writeFileSync(join(root, "node_modules/.package-lock.json"), lock(installed));
    const { status, stderr } = spawnSync(process.execPath, [join(root, "bin/pursuit.js")], { encoding: "utf8" });
    expect(stderr).toBe("package-lock.json has changed since the dependencies were installed. Run: npm ci\n");
    expect(status).toBe(1);
  }
});

it("ends the server when npm, which started it, is told to end", async () => {
  const folder = temporaryFolder();
  const flags = ["--port", "0", "--cache-dir", join(folder, "cache"), "--state-dir", join(folder, "state")];
  const npm = spawn("npm", ["start", "--", ...flags], { cwd: HERE, stdio: ["ignore", "pipe", "ignore"] });
  const exited = once(npm, "exit");
  for await (const line of createInterface({ input: npm.stdout })) if (line.startsWith("Pursuit serves")) break;
  npm.stdout.resume();
  const below = (pid: number): number[] => childrenOf(pid).flatMap((child) => [child, ...below(child)]);
  const processes = below(npm.pid!);
  expect(processes.length).toBeGreaterThan(2);
  npm.kill("SIGTERM");
  await exited;
  await until(() => !processes.some(isAlive));
}, 240_000);
