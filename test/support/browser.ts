/** A headless Chromium for tests of the explorer, and pages that may reach nothing but their server. */
import { existsSync } from "node:fs";
import { AxeBuilder } from "@axe-core/playwright";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";

const PLACES = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

/** Path of the machine's Chromium; undefined where there is none. */
const CHROMIUM = [process.env["CHROMIUM"], ...PLACES].find((path) => path !== undefined && existsSync(path));

/** No sandbox in a container, no request of its own to the network, WebGL by software. */
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--use-angle=swiftshader",
  "--enable-unsafe-swiftshader",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--no-first-run",
  "--no-default-browser-check",
  "--disable-dev-shm-usage",
];

/** Whether tests can run in a browser here; says why not. */
export function browserThere(): boolean {
  if (CHROMIUM === undefined) console.log("SKIPPED: there is no Chromium; tools/ci-setup installs it.");
  return CHROMIUM !== undefined;
}

export const startBrowser = (): Promise<Browser> => chromium.launch({ executablePath: CHROMIUM!, args: FLAGS });

/** A page, and what went wrong on it. */
export interface WatchedPage {
  readonly page: Page;
  /** Errors of scripts and of the console, and requests to other hosts. */
  readonly faults: readonly string[];
}

/** Opens a page in a context of its own. It reaches its server only, as without a network. */
export async function openPage(
  browser: Browser,
  url: string,
  options: BrowserContextOptions = {},
): Promise<WatchedPage> {
  const context = await browser.newContext({
    viewport: { width: 1280, height: 900 },
    reducedMotion: "reduce",
    ...options,
  });
  const page = await context.newPage();
  const faults: string[] = [];
  page.on("pageerror", (error) => faults.push(error.message));
  page.on("console", (message) => {
    // A refusal is shown by the view that asked.
    if (message.type() === "error" && !message.text().startsWith("Failed to load resource: the server responded"))
      faults.push(message.text());
  });
  const { host } = new URL(url);
  await context.route(
    (asked) => asked.host !== host,
    (route) => {
      faults.push(`asks ${route.request().url()}`);
      return route.abort();
    },
  );
  await page.goto(url);
  return { page, faults };
}

/** Violations of WCAG 2.2 A and AA that axe finds, one line each. */
export async function axeViolations(page: Page): Promise<string[]> {
  const { violations } = await new AxeBuilder({ page })
    .withTags(["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"])
    .analyze();
  return violations.flatMap(({ id, nodes }) =>
    nodes.map(({ html, failureSummary }) => `${id}: ${html.slice(0, 160)}\n${failureSummary ?? ""}`),
  );
}
