/**
 * Draws the dashboard's panels as they look after two minutes of rising load: the built server, a real Prometheus (tools/ci-setup), the
 * dashboard's own queries, as SVG. For docs, where no Grafana is at hand.
 *
 *     npx tsx tools/grafana/picture.ts docs/evidence/dashboard.svg
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { scaleLinear } from "d3-scale";
import { line } from "d3-shape";
import { startWatched } from "../../load-tests/chaos/watched-server.ts";
import { pause, Traffic } from "../../load-tests/chaos/traffic.ts";
import { MATCHING_PURSUIT, TOPK } from "../../load-tests/scenario.ts";
import { findTool } from "../../test/support/tool.ts";
import { DASHBOARD_FILE } from "./dashboard.ts";

const MODELS = fileURLToPath(new URL("../../models", import.meta.url));
/** Clients of each of the four spells of load. */
const CLIENTS = [1, 4, 16, 2];
const SPELL = 30_000;
const STEP = 2;
const [COLUMNS, WIDTH, HEIGHT, GAP] = [3, 400, 150, 60] as const;
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#666", "#000"];

interface Panel {
  readonly title: string;
  readonly type: string;
  readonly fieldConfig: { readonly defaults: { readonly unit: string } };
  readonly targets?: readonly { readonly expr: string; readonly legendFormat: string }[];
}
interface Series {
  readonly name: string;
  readonly points: readonly (readonly [seconds: number, value: number])[];
}

const prometheus = findTool("prometheus", "prometheus");
const [out] = process.argv.slice(2);
if (prometheus === null || out === undefined) throw new Error("Name the picture; tools/ci-setup installs Prometheus.");
const server = await startWatched(MODELS, { PURSUIT_MAX_WAIT_MS: "500" });
const folder = mkdtempSync(join(tmpdir(), "pursuit-prometheus-"));
const target = { job_name: "pursuit", static_configs: [{ targets: [`127.0.0.1:${server.port}`] }] };
writeFileSync(
  join(folder, "prometheus.yml"),
  JSON.stringify({ global: { scrape_interval: "1s" }, scrape_configs: [target] }),
);
const flags = [
  `--config.file=${folder}/prometheus.yml`,
  `--storage.tsdb.path=${folder}/data`,
  "--web.listen-address=127.0.0.1:0",
];
const scraper = spawn(prometheus, flags, { stdio: ["ignore", "ignore", "pipe"] });
let base = "";
for await (const text of createInterface({ input: scraper.stderr })) {
  base = /msg="Listening on" address=(127\.0\.0\.1:(?!0$)\d+)$/.exec(text)?.[1] ?? "";
  if (base !== "") break;
}
scraper.stderr.resume();

const traffic = await Traffic.prepare(server.base, MODELS, [MATCHING_PURSUIT, TOPK]);
const start = Date.now() / 1000;
for (const clients of CLIENTS) {
  traffic.start(clients);
  await pause(SPELL);
  await traffic.stop();
}
const end = Date.now() / 1000;
const { panels } = JSON.parse(readFileSync(DASHBOARD_FILE, "utf8")) as { panels: readonly Panel[] };
const drawn: string[] = [];
for (const panel of panels.filter(({ type }) => type === "timeseries")) {
  const series: Series[] = [];
  for (const { expr, legendFormat } of panel.targets ?? []) series.push(...(await query(expr, legendFormat)));
  drawn.push(draw(panel, series, drawn.length));
}
scraper.kill();
await once(scraper, "exit");
await server.end();
rmSync(folder, { recursive: true });
const rows = Math.ceil(drawn.length / COLUMNS);
const size = [COLUMNS * WIDTH, rows * (HEIGHT + GAP) + 30] as const;
const head = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${size[0]} ${size[1]}" font-family="sans-serif" font-size="11" fill="#222"><rect width="100%" height="100%" fill="#fff"/>`;
const caption = `<text x="12" y="18" font-size="14">Queries of deploy/grafana/pursuit.json: ${CLIENTS.join(", ")} clients, ${SPELL / 1000} s each</text>`;
writeFileSync(out, `${head}${caption}${drawn.join("")}</svg>\n`);

async function query(expr: string, legend: string): Promise<readonly Series[]> {
  const plain = expr.replaceAll("$__rate_interval", "10s").replaceAll(/"\$(?:job|instance|dictionary)"/g, '".+"');
  const parameters = new URLSearchParams({ query: plain, start: String(start), end: String(end), step: String(STEP) });
  const answer = await fetch(`http://${base}/api/v1/query_range?${parameters.toString()}`);
  const said = (await answer.json()) as {
    readonly data: { readonly result: readonly { metric: Record<string, string>; values: [number, string][] }[] };
  };
  return said.data.result.map(({ metric, values }) => ({
    name: legend.replaceAll(/\{\{(\w+)\}\}/g, (_, label: string) => metric[label] ?? ""),
    points: values
      .map(([at, value]) => [at - start, Number(value)] as const)
      .filter(([, value]) => Number.isFinite(value)),
  }));
}

function draw({ title, fieldConfig }: Panel, series: readonly Series[], i: number): string {
  const [left, top] = [(i % COLUMNS) * WIDTH + 55, Math.floor(i / COLUMNS) * (HEIGHT + GAP) + 50];
  const most = Math.max(1e-9, ...series.flatMap(({ points }) => points.map(([, value]) => value)));
  const x = scaleLinear([0, end - start], [left, left + WIDTH - 75]);
  const y = scaleLinear([0, most], [top + HEIGHT - 30, top]).nice(3);
  const path = line<readonly [number, number]>(
    (point) => x(point[0]),
    (point) => y(point[1]),
  );
  const text = (at: readonly [number, number], words: string, more = ""): string =>
    `<text x="${at[0].toFixed(1)}" y="${at[1].toFixed(1)}" ${more}>${words}</text>`;
  const ticks = y.ticks(3).map((tick) => {
    const height = y(tick).toFixed(1);
    return `<path d="M${left} ${height}H${left + WIDTH - 75}" stroke="#ddd"/>${text([left - 4, y(tick) + 4], shown(tick), 'text-anchor="end" fill="#666"')}`;
  });
  // The curves that reach highest are named.
  const named = series.toSorted((a, b) => peak(b) - peak(a)).slice(0, 4);
  const legend = named.map(({ name }, k) =>
    text(
      [left + (k % 2) * 165, top + HEIGHT - 12 + Math.floor(k / 2) * 13],
      `● ${name}`,
      `fill="${COLOURS[k]}" font-size="10"`,
    ),
  );
  const curves = series.map((one) => {
    const k = named.indexOf(one);
    return `<path d="${path(one.points) ?? ""}" fill="none" stroke="${COLOURS[k] ?? "#bbb"}" stroke-width="1.3"/>`;
  });
  return `<g>${text([left, top - 8], `${title} (${fieldConfig.defaults.unit})`, 'font-weight="bold"')}${ticks.join("")}${curves.join("")}${legend.join("")}</g>`;
}

function peak({ points }: Series): number {
  return Math.max(0, ...points.map(([, value]) => value));
}

function shown(value: number): string {
  if (value >= 1e6) return `${value / 1e6} M`;
  return value >= 1e3 ? `${value / 1e3} k` : String(+value.toPrecision(3));
}
