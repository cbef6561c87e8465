// Loads the dictionary of a folder as a runtime process does. Prints seconds and memory as JSON. See large.ts.
import { readFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";

// large.ts sets ORT_DISABLE_TELEMETRY.
const { loadSession } = await import("#dist/engine/runtime/process/load-session.js");
const { readManifest } = await import("#dist/engine/dictionaries/manifest.js");

const folder = process.argv[2];
const status = () => {
  const text = readFileSync("/proc/self/status", "utf8");
  return (name) => 1024 * Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(text)[1]);
};
let anonymous = 0;
const watch = () => {
  const of = status();
  anonymous = Math.max(anonymous, of("RssAnon") + of("RssShmem"));
};
// Awaited steps let it look; what blocks the thread is seen afterwards.
const watching = setInterval(watch, 20);
const manifest = await readManifest(folder);
const started = performance.now();
const options = { folder, manifest, runtime: "cpu", path: "auto", gramLimit: 0, cacheDir: tmpdir() };
const { session } = await loadSession({ ...options, threads: availableParallelism() });
const seconds = (performance.now() - started) / 1000;
watch();
clearInterval(watching);
const of = status();
console.log(JSON.stringify({ seconds, peak: of("VmHWM"), anonymous, after: of("VmRSS") }));
await session.release();
