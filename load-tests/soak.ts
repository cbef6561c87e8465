/**
 * Mixed traffic and hot swaps for a given time (docs/load-testing.md), every answer checked: memory, open files and waits in ten parts.
 *
 *     npm run soak -- --minutes 60 --swaps 300
 */
import { writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { Command } from "commander";
import { loadAgain } from "./chaos/faults.ts";
import { chaosPage, isClean, type Spell } from "./chaos/report.ts";
import { pause, Traffic } from "./chaos/traffic.ts";
import { startWatched } from "./chaos/watched-server.ts";
import { MATCHING_PURSUIT, TOPK } from "./scenario.ts";

const fromRoot = (path: string): string => fileURLToPath(new URL(`../${path}`, import.meta.url));
const MODELS = fromRoot("models");
const CLIENTS = 6;
/** Lines of the table. */
const PARTS = 10;

const { minutes, rate, swaps, out } = new Command("soak")
  .description("mixed traffic on a built server, every answer checked")
  .option("--minutes <n>", "of traffic", "60")
  .option("--rate <n>", "requests a second at most; default: each client sends as soon as it is answered")
  .option("--swaps <n>", "loads of dictionaries that serve, spread over the time", "0")
  .option("--out <name>", "of the page in load-tests/results", `${new Date().toISOString().slice(0, 10)}-soak`)
  .parse()
  .opts<{ minutes: string; rate?: string; swaps: string; out: string }>();

const server = await startWatched(MODELS);
const traffic = await Traffic.prepare(server.base, MODELS, [MATCHING_PURSUIT, TOPK]);
traffic.start(CLIENTS, rate === undefined ? undefined : Number(rate));
await traffic.answered(500);
traffic.take();
const spells: Spell[] = [];
const part = (Number(minutes) * 60_000) / PARTS;
const swapsAPart = Number(swaps) / PARTS;
for (let i = 0; i < PARTS; i++) {
  const before = server.held();
  const ended = pause(part);
  const start = performance.now();
  const refused: string[] = [];
  for (let k = 0; k < swapsAPart; k++) {
    await pause(Math.max(0, start + (k * part) / swapsAPart - performance.now()));
    await loadAgain(server.base, k).catch((e: unknown) => refused.push(String(e)));
  }
  await ended;
  const name = `minute ${((i + 1) * part) / 60_000}`;
  const last = i === PARTS - 1;
  spells.push({
    name,
    injected: swapsAPart > 0 ? `${Math.ceil(swapsAPart)} swaps` : "–",
    tally: last ? await traffic.stop() : traffic.take(),
    before,
    after: server.held(),
    ...(refused.length > 0 && { seen: `${refused.length} swaps failed: ${refused[0]}` }),
  });
  await writeFile(fromRoot(`load-tests/results/${out}.md`), pageText());
  process.stderr.write(`${name}\n`);
}
await server.end();
console.log(pageText());
process.exitCode = isClean(spells) && spells.every(({ seen }) => seen === undefined) ? 0 : 1;

/** The page so far: the run may be ended before its time. */
function pageText(): string {
  return chaosPage(
    `Soak of ${minutes} minutes`,
    `${CLIENTS} clients encode 1 to 32 rows by either shipped dictionary in three codecs` +
      `${rate === undefined ? "" : `, ${rate} requests a second at most,`} and compare every code with that of the row alone. ` +
      "A swap loads one of the dictionaries again while its requests run.",
    spells,
    [],
  );
}
