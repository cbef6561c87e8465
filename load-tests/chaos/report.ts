import { loadavg } from "node:os";
import { describeMachine } from "../server/machine.ts";
import type { TrafficTally } from "./traffic.ts";
import type { Held } from "./watched-server.ts";

/** One line of the table. */
export interface Spell {
  readonly name: string;
  readonly injected: string;
  readonly tally: TrafficTally;
  readonly before: Held;
  readonly after: Held;
  readonly seen?: string;
}

const HEAD = [
  "fault",
  "injected",
  "answered",
  "rows checked",
  "lost",
  "wrong",
  "crossed",
  "undecided",
  "told to come back",
  "connections broken",
  "longest wait, s",
  "server MiB",
  "runtimes MiB",
  "open files",
];

const change = (before: number, after: number): string => `${Math.round(before)} → ${Math.round(after)}`;

/** The page of a run, in Markdown. @param skipped faults that this machine cannot do, and why */
export function chaosPage(title: string, intro: string, spells: readonly Spell[], skipped: readonly string[]): string {
  const { cpu, cores, memoryGiB, node, commit, date } = describeMachine();
  const lines = spells.map(({ name, injected, tally, before, after }) => [
    name,
    injected,
    tally.answered,
    tally.rows,
    tally.lost,
    tally.wrong,
    tally.crossed,
    tally.undecided,
    tally.deferred,
    tally.broken,
    (tally.longest / 1000).toFixed(1),
    change(before.serverMiB, after.serverMiB),
    change(before.runtimesMiB, after.runtimesMiB),
    change(before.files, after.files),
  ]);
  const notes = spells.flatMap(({ name, seen, tally }) => [
    ...(seen === undefined ? [] : [`- ${name}: ${seen}.`]),
    ...[...tally.others].map(([status, times]) => `- ${name}: ${times} answers ${status}.`),
    ...tally.faults.map((fault) => `- ${name}: ${fault}`),
  ]);
  const parts = [
    `# ${title}, ${date} UTC`,
    `Commit ${commit}; ${cpu}, ${cores} cores, ${memoryGiB} GiB; Node ${node}; load average at the end ${loadavg()[0]!.toFixed(1)}.`,
    intro,
    [HEAD, HEAD.map(() => "---"), ...lines].map((line) => `| ${line.join(" | ")} |`).join("\n"),
    ...(notes.length > 0 ? [notes.join("\n")] : []),
    ...(skipped.length > 0 ? [skipped.map((one) => `- SKIPPED ${one}`).join("\n")] : []),
  ];
  return `${parts.join("\n\n")}\n`;
}

/** Whether every request was answered, and rightly. */
export const isClean = (spells: readonly Spell[]): boolean =>
  spells.every(({ tally }) => tally.lost === 0 && tally.wrong === 0 && tally.answered > 0);
