/**
 * `npm run screenshots` takes a picture of every view of the explorer, over the shipped dictionaries, in light and dark, wide and narrow,
 * into docs/images; `--all FOLDER` takes all of them into a folder, to be looked at, `--only VIEW` those of a view.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { openPage, browserThere, startBrowser } from "../../test/support/browser.ts";
import { startServer } from "../../test/support/running-server.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const MP = "minilm-wordnet-mp";
const TOPK = "minilm-wordnet-topk";

interface Shot {
  readonly name: string;
  readonly hash: string;
  /** What is there once the view is. */
  readonly ready: string;
}

const SHOTS: readonly Shot[] = [
  { name: "encode", hash: `#/encode?d=${MP}&x=e56&k=8`, ready: ".code-feature" },
  {
    name: "compare",
    hash: `#/encode?d=${MP}&x=e56&k=8&d2=${TOPK}`,
    ready: ".codes.two section:nth-child(2) .code-feature",
  },
  { name: "features", hash: `#/features?d=${MP}&q=bird`, ready: "a.feature-row" },
  { name: "feature", hash: `#/feature?d=${MP}&f=890`, ready: ".related a" },
  { name: "steer", hash: `#/steer?d=${MP}&x=e56&edits=447.remove~890.add.0.6`, ready: ".moved li" },
  { name: "map", hash: `#/map?d=${MP}&q=bird&f=890`, ready: "canvas[data-drawn], .map-plane .state" },
  { name: "contrast", hash: `#/contrast?d=${MP}&a=0-15&b=16-31`, ready: ".contrast li, .encode-main .state" },
  { name: "live", hash: "#/live", ready: ".meter-value" },
  { name: "dictionaries", hash: "#/dictionaries", ready: ".card" },
];

/** Those of the docs: the colours and width of each. */
const KEPT: Readonly<Record<string, readonly ["light" | "dark", number]>> = {
  encode: ["light", 1280],
  compare: ["dark", 1280],
  feature: ["light", 1280],
  steer: ["light", 1280],
  contrast: ["dark", 1280],
  features: ["light", 1280],
};

const { values } = parseArgs({ options: { all: { type: "string" }, only: { type: "string", multiple: true } } });
const folder = values.all ?? join(ROOT, "docs/images");

async function main(): Promise<void> {
  if (!browserThere()) return;
  mkdirSync(folder, { recursive: true });
  const cache = mkdtempSync(join(tmpdir(), "pursuit-screenshots-"));
  const [server, browser] = await Promise.all([startServer(join(ROOT, "models"), cache), startBrowser()]);
  try {
    for (const { name, hash, ready } of SHOTS) {
      if (values.only?.includes(name) === false) continue;
      const kept = KEPT[name];
      const all = (["light", "dark"] as const).flatMap((scheme) =>
        [1440, 390].map((width) => [scheme, width] as const),
      );
      for (const [colorScheme, width] of values.all === undefined ? (kept === undefined ? [] : [kept]) : all) {
        const { page, faults } = await openPage(browser, `${server.base}/${hash}`, {
          colorScheme,
          viewport: { width, height: width < 500 ? 844 : 800 },
        });
        await page.locator(ready).first().waitFor({ timeout: 120_000 });
        await page.waitForLoadState("networkidle");
        await page.evaluate("document.fonts.ready");
        // Two frames: a canvas is drawn in the second.
        await page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))");
        const file = join(folder, values.all === undefined ? `${name}.png` : `${name}-${colorScheme}-${width}.png`);
        writeFileSync(file, await page.screenshot());
        await page.context().close();
        console.log(file, ...faults);
      }
    }
  } finally {
    await browser.close();
    await server.stop();
    rmSync(cache, { recursive: true });
  }
}
await main();
