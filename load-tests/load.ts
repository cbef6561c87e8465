/**
 * The load tests (docs/load-testing.md): a built server on a free port of 127.0.0.1, the shipped dictionaries, every
 * answer checked.
 *
 *     npm run load -- --quick
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import cliProgress from "cli-progress";
import { Command, InvalidArgumentError } from "commander";
import { chart } from "./report/chart.ts";
import { answersTable, figureTable, resultsPage, type Section } from "./report/markdown.ts";
import { type Finished, runScenario, type RunOptions } from "./run-scenario.ts";
import type { Scenario } from "./scenario.ts";
import { SCENARIOS } from "./scenarios/all.ts";
import { baselines } from "./scenarios/baselines.ts";
import { describeMachine } from "./server/machine.ts";

interface Flags {
  readonly quick: boolean;
  readonly scenario?: readonly string[];
  readonly duration?: number;
  readonly out?: string;
  readonly note: string;
  readonly baselines: boolean;
  readonly python: string;
}

/** Seconds of one measurement, and of the long overload: in full, and with --quick. */
const SECONDS = { full: { one: 8, long: 60 }, quick: { one: 1.5, long: 6 } } as const;
const fromRoot = (path: string): string => fileURLToPath(new URL(`../${path}`, import.meta.url));

const MODELS = fromRoot("models");
const RESULTS = fromRoot("load-tests/results");

const flags = new Command("load")
  .description("drive a built server of its own with the shipped dictionaries, and check every answer")
  .option("--quick", "everything in about two minutes", false)
  .option("--scenario <names...>", `only these, of all, ${SCENARIOS.map(({ name }) => name).join(", ")}`)
  .option("--duration <seconds>", "of one measurement but the long overload", parseSeconds)
  .option("--out <name>", "of the results page in load-tests/results; the date and time if not said")
  .option("--baselines", "LitServe and FastAPI around PyTorch too; alone where no --scenario is named", false)
  .option("--python <file>", "that has the packages of tools/baselines", "python3")
  .option("--note <text>", "put into the results page, such as what else ran", "")
  .parse()
  .opts<Flags>();

process.exitCode = (await main(flags)) ? 0 : 1;

/** False when an answer was wrong or lost. A figure off its goal is said, and is no failure. */
async function main({
  quick,
  scenario,
  duration,
  out,
  note,
  baselines: withBaselines,
  python,
}: Flags): Promise<boolean> {
  const machine = describeMachine();
  const length = quick ? SECONDS.quick : SECONDS.full;
  const chosen = [
    ...choose(scenario ?? (withBaselines ? [] : undefined)),
    ...(withBaselines ? [baselines(python, MODELS)] : []),
  ];
  const name = out ?? machine.date.replace(" ", "-").replace(":", "");
  const bar = new cliProgress.SingleBar(
    { format: "{bar} {value}/{total} {duration_formatted} {title}", noTTYOutput: true, notTTYSchedule: 15_000 },
    cliProgress.Presets.shades_classic,
  );
  const options: RunOptions = {
    modelsDir: MODELS,
    seconds: duration ?? length.one,
    longSeconds: length.long,
    quick,
    onMeasure: (title) => bar.increment({ title }),
  };
  const sections: Section[] = [];
  bar.start(
    chosen.reduce((sum, { measurements }) => sum + measurements(quick), 0),
    0,
    { title: "" },
  );
  try {
    for (const one of chosen) {
      const finished = await runScenario(one, options);
      sections.push({ scenario: one, finished, chart: await drawChart(`${name}-${one.name}`, one, finished) });
    }
  } finally {
    bar.stop();
  }
  const page = join(RESULTS, `${name}.md`);
  await writeFile(page, resultsPage(machine, options.seconds, sections, note));
  const figures = sections.flatMap(({ finished }) => finished.outcome.figures);
  if (figures.length > 0) console.log(`\n${figureTable(figures)}`);
  console.log(`\n${answersTable(sections)}\n\n${page}`);
  return sections.every(({ finished: { tally, lost } }) => tally.wrong === 0 && lost === 0);
}

function choose(names: readonly string[] | undefined): readonly Scenario[] {
  if (!names || names.includes("all")) return SCENARIOS;
  return names.map((name) => {
    const found = SCENARIOS.find((scenario) => scenario.name === name);
    if (found) return found;
    throw new Error(`There is no scenario ${name}; they are ${SCENARIOS.map((scenario) => scenario.name).join(", ")}.`);
  });
}

/** @returns the file's name, where the scenario has a chart */
async function drawChart(name: string, scenario: Scenario, { outcome }: Finished): Promise<string | null> {
  await mkdir(RESULTS, { recursive: true });
  if (!outcome.chart) return null;
  await writeFile(join(RESULTS, `${name}.svg`), chart(`Against offered load: ${scenario.name}`, outcome.chart));
  return `${name}.svg`;
}

function parseSeconds(given: string): number {
  const value = Number(given);
  if (value > 0 && value <= 600) return value;
  throw new InvalidArgumentError("It must be seconds, more than 0 and at most 600.");
}
