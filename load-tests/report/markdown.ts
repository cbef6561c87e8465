import type { Finished } from "../run-scenario.ts";
import type { Figure, Scenario, Table } from "../scenario.ts";
import type { Machine } from "../server/machine.ts";

export interface Section {
  readonly scenario: Pick<Scenario, "name" | "shows" | "env">;
  readonly finished: Finished;
  /** File name of its chart, beside the page. */
  readonly chart: string | null;
}

/** A results page: where and when, the figures with their goals, each scenario's tables, and what was checked. */
export function resultsPage(machine: Machine, seconds: number, sections: readonly Section[], note: string): string {
  const { cpu, cores, memoryGiB, node, commit, date, load } = machine;
  const figures = sections.flatMap(({ finished }) => finished.outcome.figures);
  const parts = [
    `# Load tests, ${date} UTC`,
    `Commit ${commit}; ${cpu}, ${cores} cores, ${memoryGiB} GiB; Node ${node}; ${seconds} s a measurement. The clients ran on the same cores as the server where nothing else is said. Load average before: ${load.toFixed(1)}.`,
    ...(note === "" ? [] : [note]),
    ...(figures.length === 0 ? [] : ["## Figures", figureTable(figures)]),
    "## Answers",
    answersTable(sections),
    ...sections.map(sectionText),
  ];
  return `${parts.join("\n\n")}\n`;
}

export function figureTable(figures: readonly Figure[]): string {
  const lines = figures.map(({ what, value, unit, goal, met, detail }) => [
    what,
    `${shown(value)}${unit && ` ${unit}`}`,
    `${goal}${unit && ` ${unit}`}`,
    met ? "yes" : "**no**",
    detail,
  ]);
  return table(["what", "figure", "goal", "met", ""], lines);
}

/** Every answer of every scenario, held against the codes that its rows give when asked for alone. */
export function answersTable(sections: readonly Pick<Section, "scenario" | "finished">[]): string {
  const lines = sections.map(({ scenario, finished: { tally, sent, lost } }) => [
    scenario.name,
    sent,
    tally.rows,
    tally.wrong,
    lost,
    tally.undecided,
    tally.degraded,
  ]);
  const faults = sections.flatMap(({ scenario, finished }) =>
    finished.tally.faults.map((fault) => `- ${scenario.name}: ${fault}`),
  );
  const head = ["scenario", "requests", "rows checked", "wrong or crossed", "lost", "undecided", "shortened"];
  const sum = head.slice(1).map((_, i) => lines.reduce((total, line) => total + Number(line[i + 1]), 0));
  return [table(head, [...lines, ["**all**", ...sum]]), ...(faults.length > 0 ? [faults.join("\n")] : [])].join("\n\n");
}

function sectionText({ scenario: { name, shows, env }, finished, chart }: Section): string {
  const settings = Object.entries(env ?? {}).map(([key, value]) => `\`${key}=${value}\``);
  return [
    `## ${name}`,
    [shows, ...(settings.length > 0 ? [`Settings: ${settings.join(", ")}.`] : [])].join(" "),
    ...(chart === null ? [] : [`![throughput, p50 and p99 against offered load](${chart})`]),
    ...finished.outcome.tables.map((one) => captioned(one)),
  ].join("\n\n");
}

const captioned = ({ caption, head, lines }: Table): string => `${caption}\n\n${table(head, lines)}`;

function table(head: readonly string[], lines: readonly (readonly (string | number)[])[]): string {
  const row = (cells: readonly (string | number)[]): string => `| ${cells.map(cell).join(" | ")} |`;
  return [row(head), row(head.map(() => "---")), ...lines.map(row)].join("\n");
}

const cell = (value: string | number): string => (typeof value === "number" ? shown(value) : value);

/** Three digits are what such figures are good for; counts keep all of theirs. */
function shown(value: number): string {
  if (Number.isInteger(value)) return String(value);
  return Math.abs(value) >= 1000 ? String(Math.round(value)) : String(Number(value.toPrecision(3)));
}
