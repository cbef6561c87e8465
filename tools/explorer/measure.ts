/**
 * `npx tsx tools/explorer/measure.ts` prints how large the page is, how soon its first view can be read, and how many frames a second
 * the map draws while it is moved, with what bounds them: in a headless Chromium, over the shipped dictionaries, after `npm run build`.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import type { Browser, Page } from "playwright-core";
import { browserThere, openPage, startBrowser } from "../../test/support/browser.ts";
import { startServer } from "../../test/support/running-server.ts";
import { normals } from "../../test/support/seeded.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const MP = "minilm-wordnet-mp";
const POINTS = [4096, 262_144];
const TIMES = 5;
const MILLISECONDS = 3000;

function printSizes(): void {
  const folder = join(ROOT, "dist/ui/ui");
  const first = new Map<string, number>();
  for (const name of readdirSync(folder)) {
    const content = readFileSync(join(folder, name));
    const compressed = /\.(js|css|svg)$/.test(name) ? gzipSync(content, { level: 9 }).length : content.length;
    console.log(`${name}: ${content.length} bytes, ${compressed} compressed`);
    const kind = name.startsWith("map-") ? "map" : name.split(".").at(-1)!;
    first.set(kind, (first.get(kind) ?? 0) + compressed);
  }
  console.log(`JavaScript before the map is opened: ${((first.get("js") ?? 0) / 1000).toFixed(1)} kB compressed`);
}

/** Milliseconds from the start of the navigation to a code with its words. */
async function firstView(browser: Browser, base: string): Promise<number> {
  const { page } = await openPage(browser, "about:blank");
  await page.context().unrouteAll();
  const started = performance.now();
  await page.goto(`${base}/`, { waitUntil: "commit" });
  await page.locator(".code-feature").first().waitFor();
  const taken = performance.now() - started;
  await page.context().close();
  return taken;
}

interface Frames {
  readonly count: number;
  /** Milliseconds of a frame before it is drawn. */
  readonly script: number;
  readonly renderer: string;
  readonly size: string;
}

/** Zooms in and out at every frame, and counts frames. */
const DRIVE = `new Promise((done) => {
  const canvas = document.querySelector("canvas.plane");
  const box = canvas.getBoundingClientRect();
  const gl = canvas.getContext("webgl2");
  const info = gl?.getExtension("WEBGL_debug_renderer_info");
  let count = 0, script = 0;
  const started = performance.now();
  const pixel = new Uint8Array(4);
  const frame = () => {
    const before = performance.now();
    canvas.dispatchEvent(new WheelEvent("wheel", {
      deltaY: Math.floor(count / 10) % 2 === 0 ? -20 : 20, bubbles: true, cancelable: true,
      clientX: box.left + box.width / 2, clientY: box.top + box.height / 2,
    }));
    script += performance.now() - before;
    // Waits until the frame before has been drawn: frames that are only queued do not count.
    if (gl) gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, pixel);
    count++;
    if (performance.now() - started < ${MILLISECONDS}) requestAnimationFrame(frame);
    else done({
      count: count / ((performance.now() - started) / 1000), script: script / count,
      renderer: gl ? gl.getParameter(info ? info.UNMASKED_RENDERER_WEBGL : gl.RENDERER) : "the page, pixel by pixel",
      size: canvas.width + " × " + canvas.height,
    });
  };
  requestAnimationFrame(frame);
})`;

async function framesOf(browser: Browser, base: string, points: number, webgl: boolean): Promise<Frames> {
  const { page } = await openPage(browser, `${base}/#/live`);
  await withMap(page, points);
  if (!webgl)
    await page.evaluate(`{
      const before = HTMLCanvasElement.prototype.getContext;
      HTMLCanvasElement.prototype.getContext = function (kind, options) {
        return kind === "webgl2" ? null : before.call(this, kind, options);
      };
    }`);
  await page.evaluate(`location.hash = "#/map?d=${MP}"`);
  await page.locator(`canvas[data-drawn="${points}"]`).waitFor();
  const frames = await page.evaluate<Frames>(DRIVE);
  await page.context().close();
  return frames;
}

async function withMap(page: Page, points: number): Promise<void> {
  const body = Buffer.from(normals(2 * points, 4).buffer);
  await page.route(`**/v1/dictionaries/${MP}/map`, (route) =>
    route.fulfill({ contentType: "application/octet-stream", body }),
  );
}

async function main(): Promise<void> {
  printSizes();
  if (!browserThere()) return;
  const cache = mkdtempSync(join(tmpdir(), "pursuit-explorer-"));
  const [server, browser] = await Promise.all([startServer(join(ROOT, "models"), cache), startBrowser()]);
  try {
    const times: number[] = [];
    for (let i = 0; i < TIMES; i++) times.push(await firstView(browser, server.base));
    const sorted = times.toSorted((a, b) => a - b);
    console.log(
      `first view with its code: median ${sorted[TIMES >> 1]!.toFixed(0)} ms, ${sorted[0]!.toFixed(0)} to ${sorted.at(-1)!.toFixed(0)} ms of ${TIMES}`,
    );
    console.log(`${cpus().length} cores of ${cpus()[0]!.model}`);
    for (const webgl of [true, false])
      for (const points of POINTS) {
        const { count, script, renderer, size } = await framesOf(browser, server.base, points, webgl);
        console.log(
          `map of ${points} points, ${size}: ${count.toFixed(1)} frames/s; a frame takes ${(1000 / count).toFixed(1)} ms, ${script.toFixed(2)} of them before it is drawn by ${renderer}`,
        );
      }
  } finally {
    await browser.close();
    await server.stop();
    rmSync(cache, { recursive: true });
  }
}
await main();
