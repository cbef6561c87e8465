/**
 * Twelve dictionaries over three replicas behind nginx with consistent hashing (docs/load-balancing.md): which replica loads which, and
 * how few move when one ends. By hand: it needs nginx.
 *
 *     npm run by-dictionary -- --nginx /usr/sbin/nginx
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command } from "commander";
import { writeModelFolder } from "../test/support/model-folder.ts";
import { type RunningServer, startServer } from "../test/support/running-server.ts";
import { randomAtoms } from "../test/support/seeded.ts";
import { findNginx, startNginx } from "./fleet/nginx.ts";
import { describeMachine } from "./server/machine.ts";

const REPLICAS = 3;
const ROUNDS = 3;
const D = 16;

const { nginx: given } = new Command("by-dictionary")
  .option("--nginx <path>", "the program")
  .parse()
  .opts<{ nginx?: string }>();
const program = findNginx(given);
const work = mkdtempSync(join(tmpdir(), "pursuit-by-dictionary-"));
const models = join(work, "models");
const ids = Array.from({ length: 12 }, (_, i) => `layer-${String(i).padStart(2, "0")}`);
for (const [i, id] of ids.entries()) writeModelFolder(models, id, { atoms: randomAtoms(64, D, i + 1), d: D });

const start = (index: number): Promise<RunningServer> =>
  startServer(models, join(work, `replica-${index}`), {
    PURSUIT_ALLOWED_HOSTS: "*",
    PURSUIT_LOAD: "lazy",
    PURSUIT_LOG_LEVEL: "warn",
  });

/** Encodes a row by each dictionary, some times, by either protocol. @throws Error when one is refused */
async function encodeByAll(base: string): Promise<void> {
  const inputs = [Array.from({ length: D }, (_, i) => Math.cos(i))];
  for (let round = 0; round < ROUNDS; round++)
    for (const id of ids) {
      const body = JSON.stringify({ inputs, budget: { max_atoms: 2 } });
      const headers = { "content-type": "application/json" };
      const answer = await fetch(`${base}/v1/dictionaries/${id}/encode`, { method: "POST", headers, body });
      if (answer.status !== 200) throw new Error(`${id}: ${answer.status} ${await answer.text()}`);
      await answer.arrayBuffer();
      const ready = await fetch(`${base}/v2/models/${id}/ready`);
      if (ready.status !== 200) throw new Error(`${id}: ready is ${ready.status} at the replica that it is sent to`);
      await ready.arrayBuffer();
    }
}

/** Dictionaries that a replica has loaded. */
async function loadedAt({ base }: RunningServer): Promise<readonly string[]> {
  const { dictionaries } = (await (await fetch(`${base}/v1/dictionaries`)).json()) as {
    dictionaries: readonly { id: string; state: string }[];
  };
  return dictionaries.filter(({ state }) => state === "ready").map(({ id }) => id);
}

const replicas = await Promise.all(Array.from({ length: REPLICAS }, (_, i) => start(i)));
const nginx = await startNginx(
  program,
  "pursuit-by-dictionary.conf",
  replicas.map(({ port }) => port),
);
const { date, node, commit } = describeMachine();
console.log(`${date} UTC; nginx ${nginx.version}; Node ${node}; commit ${commit}.\n\n\`\`\``);
const short = (names: readonly string[]): string => names.map((id) => id.slice("layer-".length)).join(" ");
async function show(title: string): Promise<readonly (readonly string[])[]> {
  const loaded: (readonly string[])[] = [];
  console.log(title);
  for (const [i, replica] of replicas.entries()) {
    const gone = replica.process.exitCode !== null;
    loaded.push(gone ? [] : await loadedAt(replica));
    console.log(`  replica ${i + 1}: ${gone ? "ended" : `${loaded[i]!.length} loaded: ${short(loaded[i]!)}`}`);
  }
  return loaded;
}

await encodeByAll(nginx.base);
const before = await show(`${ROUNDS} requests by each of ${ids.length} dictionaries:`);
const total = before.reduce((sum, { length }) => sum + length, 0);
await replicas[1]!.stop();
await encodeByAll(nginx.base);
const after = await show("replica 2 ended, the same requests again:");
const others = [0, 2].map((i) => after[i]!.filter((id) => !before[i]!.includes(id)));
const moved = [...new Set(others.flat())].toSorted();
const asDue = moved.join() === before[1]!.toSorted().join();
console.log(`loaded elsewhere: ${short(moved)}${asDue ? ", those of replica 2 and no others" : ""}`);
console.log("```");
await nginx.end();
await Promise.all([replicas[0]!, replicas[2]!].map((server) => server.stop()));
rmSync(work, { recursive: true, force: true });
// Each dictionary is loaded once, and only those of the replica that ended move.
if (total !== ids.length || !asDue) process.exitCode = 1;
