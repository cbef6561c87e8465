import { scaleLinear, scaleLog } from "d3-scale";
import { line } from "d3-shape";

/** One measurement of an offered load: requests a second and milliseconds. */
export interface Point {
  readonly offered: number;
  readonly throughput: number;
  readonly p50: number;
  readonly p99: number;
}

export interface Series {
  readonly name: string;
  readonly points: readonly Point[];
}

const WIDTH = 760;
const PANEL = 190;
const GAP = 54;
const LEFT = 70;
const RIGHT = 24;
const TOP = 64;
/** Told apart by people who see red and green alike (Okabe and Ito), and by their marks. */
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7"];
const GREY = "#666";

const PANELS = [
  { of: "throughput", title: "answered requests/s", log: false },
  { of: "p50", title: "p50, ms", log: true },
  { of: "p99", title: "p99, ms", log: true },
] as const;

/** Throughput, p50 and p99 against offered load, one panel each over the same axis, as SVG text. */
export function chart(title: string, series: readonly Series[]): string {
  const height = TOP + PANELS.length * (PANEL + GAP);
  const points = series.flatMap((one) => one.points);
  const x = scaleLinear([0, Math.max(...points.map(({ offered }) => offered))], [LEFT, WIDTH - RIGHT]).nice();
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" font-family="sans-serif" font-size="12" fill="#222">`,
    `<rect width="${WIDTH}" height="${height}" fill="#fff"/>`,
    text(LEFT, 22, title, 'font-size="15" font-weight="bold"'),
    ...series.map(({ name }, i) => legend(LEFT + i * 230, 42, name, i)),
  ];
  for (const [i, { of, title: name, log }] of PANELS.entries()) {
    const top = TOP + i * (PANEL + GAP);
    const values = points.map((point) => point[of]).filter((value) => value > 0);
    const range = [top + PANEL, top + 14] as const;
    const most = Math.max(...values);
    const y = log ? scaleLog([Math.min(...values) / 1.3, most * 1.3], range) : scaleLinear([0, most], range).nice();
    const ticks = log ? decades(Math.min(...values) / 1.3, most * 1.3) : y.ticks(5);
    parts.push(text(LEFT, top + 4, name, 'font-weight="bold"'));
    for (const tick of ticks)
      parts.push(
        rule(LEFT, y(tick), WIDTH - RIGHT, y(tick)),
        text(LEFT - 8, y(tick) + 4, label(tick), 'text-anchor="end"'),
      );
    for (const tick of x.ticks(8))
      parts.push(text(x(tick), top + PANEL + 18, label(tick), `text-anchor="middle" fill="${GREY}"`));
    if (i === PANELS.length - 1)
      parts.push(text((LEFT + WIDTH - RIGHT) / 2, top + PANEL + 38, "offered requests/s", 'text-anchor="middle"'));
    for (const [k, one] of series.entries()) {
      // Nothing answered is a throughput of nothing, and no latency.
      const shown = one.points.filter((point) => Number.isFinite(point[of]) && (point[of] > 0 || !log));
      const path = line<Point>(
        (point) => x(point.offered),
        (point) => y(point[of]),
      )(shown);
      if (path) parts.push(`<path d="${path}" fill="none" stroke="${colour(k)}" stroke-width="2"/>`);
      for (const point of shown) parts.push(mark(x(point.offered), y(point[of]), k));
    }
  }
  return `${parts.join("\n")}\n</svg>\n`;
}

const colour = (i: number): string => COLOURS[i % COLOURS.length]!;

const text = (x: number, y: number, content: string, more = ""): string =>
  `<text x="${round(x)}" y="${round(y)}" ${more}>${escaped(content)}</text>`;

const rule = (x1: number, y1: number, x2: number, y2: number): string =>
  `<line x1="${round(x1)}" y1="${round(y1)}" x2="${round(x2)}" y2="${round(y2)}" stroke="#ddd"/>`;

/** A disc, a square: the shape says the series too. */
const mark = (x: number, y: number, i: number): string =>
  i % 2 === 0
    ? `<circle cx="${round(x)}" cy="${round(y)}" r="4" fill="${colour(i)}"/>`
    : `<rect x="${round(x - 4)}" y="${round(y - 4)}" width="8" height="8" fill="${colour(i)}"/>`;

const legend = (x: number, y: number, name: string, i: number): string => mark(x + 5, y - 4, i) + text(x + 16, y, name);

/** 1, 2 and 5 of every decade between the two. */
function decades(least: number, most: number): number[] {
  const ticks: number[] = [];
  for (let power = Math.floor(Math.log10(least)); power <= Math.ceil(Math.log10(most)); power++)
    for (const digit of [1, 2, 5]) ticks.push(digit * 10 ** power);
  return ticks.filter((tick) => tick >= least && tick <= most);
}

const label = (value: number): string => String(Number(value.toPrecision(3)));
const round = (value: number): string => value.toFixed(1);
const escaped = (content: string): string =>
  content.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
