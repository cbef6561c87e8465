/** Alert rules and dashboard, by reading them and by promtool. tools/ci-setup installs promtool. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { Metrics } from "../../src/server/metrics.ts";
import { dashboardText } from "../../tools/grafana/dashboard.ts";
import { type Dashboard, queriesOf } from "../support/dashboard-queries.ts";
import { findTool } from "../support/tool.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const read = (path: string): string => readFileSync(`${ROOT}${path}`, "utf8");
const RULES = "deploy/prometheus/pursuit.rules.yaml";
const RULE_TESTS = "deploy/prometheus/pursuit.rules.test.yaml";

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly annotations: Readonly<Record<string, string>>;
  readonly labels: { readonly severity: string };
}

const rules = (parse(read(RULES)) as { groups: readonly { rules: readonly Rule[] }[] }).groups.flatMap(
  (group) => group.rules,
);

/** Names of all series that a server shows. */
async function shownSeries(): Promise<ReadonlySet<string>> {
  const metrics = new Metrics(() => []);
  metrics.showVersion("1");
  metrics.showMemory({ limit: 1, held: { server: 0, requests: 0, text: 0, runtime: 0, gram: 0 } });
  metrics.showCores({ total: 1, busyTime: { requests: 0, background: 0 } });
  metrics.showBodies({ held: 0 }, 1);
  metrics.showLoads(
    () => [],
    () => true,
    1,
  );
  const text = await metrics.text();
  const names = [...text.matchAll(/^# TYPE (\w+) (\w+)$/gm)].flatMap(([, name, type]) =>
    type === "histogram" ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name!],
  );
  return new Set(names);
}

const named = (expression: string): readonly string[] =>
  [...expression.matchAll(/\b(?:pursuit|nodejs|process)_\w+/g)].map(([name]) => name);

describe("the alert rules", () => {
  it("use series that a server shows", async () => {
    const shown = await shownSeries();
    const used = rules.flatMap(({ expr }) => named(expr));
    expect(used.length).toBeGreaterThan(15);
    expect(used.filter((name) => !shown.has(name))).toEqual([]);
  });

  it("each have a severity, a test and a page of the runbook that names it", () => {
    const runbook = read("docs/runbook.md");
    const tested = (parse(read(RULE_TESTS)) as { tests: readonly { name: string }[] }).tests.map(({ name }) => name);
    expect(tested.toSorted()).toEqual(rules.map(({ alert }) => alert).toSorted());
    for (const { alert, labels, annotations } of rules) {
      expect(["warning", "critical"]).toContain(labels.severity);
      expect(annotations["runbook_url"]).toBe(`docs/runbook.md#${alert.toLowerCase()}`);
      expect(runbook).toContain(`\n## ${alert}\n`);
    }
  });

  const promtool = findTool("promtool", "prometheus");

  it.runIf(promtool !== null)("pass their tests", () => {
    expect(execFileSync(promtool!, ["check", "rules", RULES], { cwd: ROOT, encoding: "utf8" })).toContain(
      `SUCCESS: ${rules.length} rules found`,
    );
    expect(execFileSync(promtool!, ["test", "rules", RULE_TESTS], { cwd: ROOT, encoding: "utf8" })).toContain(
      "SUCCESS",
    );
  });
});

describe("the dashboard", () => {
  const dashboard = JSON.parse(read("deploy/grafana/pursuit.json")) as Dashboard;

  it("is what tools/grafana makes by the types of Grafana's SDK: npm run dashboard", () => {
    expect(read("deploy/grafana/pursuit.json")).toBe(dashboardText());
  });

  it("asks for series that a server shows, and says of each panel what it shows", async () => {
    const shown = await shownSeries();
    const used = queriesOf(dashboard).flatMap(({ expr }) => named(expr));
    expect(used.length).toBeGreaterThan(30);
    expect(used.filter((name) => !shown.has(name))).toEqual([]);
    for (const panel of dashboard.panels.filter(({ type }) => type !== "row")) expect(panel.description).toMatch(/\.$/);
  });
});
