/**
 * Faults under traffic (docs/load-testing.md): each on a built server of its own, every answer checked.
 *
 *     npm run chaos
 */
import { writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { Command } from "commander";
import { type Fault, FAULTS } from "./chaos/faults.ts";
import { chaosPage, isClean, type Spell } from "./chaos/report.ts";
import { Traffic } from "./chaos/traffic.ts";
import { startWatched } from "./chaos/watched-server.ts";
import { MATCHING_PURSUIT, TOPK } from "./scenario.ts";

const fromRoot = (path: string): string => fileURLToPath(new URL(`../${path}`, import.meta.url));
const MODELS = fromRoot("models");
const CLIENTS = 6;

interface Flags {
  readonly fault?: readonly string[];
  readonly share: string;
  readonly out: string;
}

const {
  fault: names,
  share,
  out,
} = new Command("chaos")
  .description("injects faults into a built server under traffic, and checks every answer")
  .option("--fault <names...>", `only these, of ${FAULTS.map(({ name }) => name).join(", ")}`)
  .option("--share <share>", "of the injections of each fault, such as 0.1", "1")
  .option("--out <name>", "of the page in load-tests/results", `${new Date().toISOString().slice(0, 10)}-chaos`)
  .parse()
  .opts<Flags>();

async function spell(fault: Fault): Promise<Spell> {
  const more = await fault.before?.();
  try {
    const server = await startWatched(MODELS, { ...fault.env, ...more }, fault.options);
    const traffic = await Traffic.prepare(server.base, MODELS, [MATCHING_PURSUIT, TOPK]);
    traffic.start(CLIENTS);
    await traffic.answered(200);
    traffic.take();
    const before = server.held();
    const { times, seen } = await fault.inject({ server, traffic, share: Number(share) });
    await server.settled();
    await traffic.answered(100);
    const tally = await traffic.stop();
    const after = server.held();
    await server.end();
    return { name: fault.name, injected: `${times} ×`, tally, before, after, ...(seen !== undefined && { seen }) };
  } finally {
    await fault.after?.();
  }
}

const spells: Spell[] = [];
const skipped: string[] = [];
const chosen = FAULTS.filter(({ name }) => names === undefined || names.includes(name));
for (const fault of chosen) {
  const missing = fault.missing?.() ?? null;
  if (missing !== null) {
    skipped.push(`${fault.name}: ${missing}.`);
    continue;
  }
  process.stderr.write(`${fault.name}: ${fault.does} …\n`);
  spells.push(await spell(fault));
  await write();
}
await write();
console.log(pageText());
process.exitCode = isClean(spells) ? 0 : 1;

/** The page so far: a later fault may take long. */
async function write(): Promise<void> {
  await writeFile(fromRoot(`load-tests/results/${out}.md`), pageText());
}

function pageText(): string {
  return chaosPage(
    "Chaos",
    `Each fault meets a server of its own, under ${CLIENTS} clients that encode 1 to 32 rows by either shipped dictionary in three codecs, ` +
      "repeat what is refused with 429 or 503 when told to, and compare every code with that of the row alone. " +
      "Lost: not answered 200 within 120 s, or another status. Figures of memory and files: under traffic before the fault, and after the " +
      "traffic has ended.",
    spells,
    skipped,
  );
}
