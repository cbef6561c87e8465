/** The explorer where a server has a key, lies behind a path, serves a broken and a large dictionary, or is gone. */
import { writeFileSync } from "node:fs";
import { createServer, request, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { rowToText } from "../../web/src/rows/row-text.ts";
import { browserThere, openPage, startBrowser } from "../support/browser.ts";
import { writeModelFolder } from "../support/model-folder.ts";
import { type RunningServer, startServer } from "../support/running-server.ts";
import { normals, randomAtoms } from "../support/seeded.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

const KEY = "a-key-of-sixteen-or-more";
const ADMIN = "a-key-to-manage-with-too";
const PREFIX = "/tools/pursuit";
const LARGE = 262_144;

/** A proxy that serves the server below a path. */
function proxy({ port }: RunningServer): Promise<Server> {
  const server = createServer((asked, answer) => {
    if (!asked.url!.startsWith(`${PREFIX}/`)) return void answer.writeHead(404).end();
    const { method, headers } = asked;
    const passed = request(
      { port, host: "127.0.0.1", path: asked.url!.slice(PREFIX.length), method, headers },
      (given) => {
        answer.writeHead(given.statusCode!, given.headers);
        given.pipe(answer);
      },
    );
    asked.pipe(passed);
  });
  return new Promise((listening) => server.listen(0, "127.0.0.1", () => listening(server)));
}

describe.runIf(browserThere())("the explorer of a server", () => {
  let server: RunningServer;
  let behind: Server;
  let browser: Browser;

  beforeAll(async () => {
    const models = temporaryFolder();
    writeModelFolder(models, "small", { atoms: randomAtoms(16, 4, 1), d: 4 });
    writeModelFolder(models, "large", { atoms: randomAtoms(LARGE, 4, 2), d: 4 });
    writeFileSync(
      join(writeModelFolder(models, "broken", { atoms: randomAtoms(8, 4, 3), d: 4 }), "weights.safetensors"),
      "no weights",
    );
    const settings = {
      PURSUIT_API_KEYS: KEY,
      PURSUIT_ADMIN_KEYS: ADMIN,
      PURSUIT_READY: "any",
      PURSUIT_ALLOWED_HOSTS: "*",
    };
    [server, browser] = await Promise.all([startServer(models, temporaryFolder(), settings), startBrowser()]);
    behind = await proxy(server);
  }, 180_000);
  afterAll(async () => {
    await browser?.close();
    behind?.close();
    await server?.stop();
  });

  async function unlock(page: Page): Promise<void> {
    await page.getByLabel("API key").fill(KEY);
    await page.getByRole("button", { name: "Open" }).click();
  }

  it("asks for the key, says when it is wrong, and keeps it in the tab", async () => {
    const { page } = await openPage(browser, `${server.base}/#/dictionaries`);
    await page.getByRole("heading", { name: "This server requires a key." }).waitFor();
    await page.getByLabel("API key").fill("another-key-of-that-length");
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "The server does not know this key." }).waitFor();
    await unlock(page);
    await page.getByRole("heading", { name: "small" }).waitFor();
    await page.reload();
    await page.getByRole("heading", { name: "small" }).waitFor();
    expect(await page.evaluate("[sessionStorage.length, JSON.stringify(localStorage).includes('a-key')]")).toEqual([
      1,
      false,
    ]);
    await page.getByText("The request behind this view").click();
    await page.getByText("authorization: Bearer $KEY").waitFor();
    expect(await page.content()).not.toContain(KEY);
    await page.context().close();
  });

  it("says when a key may not save a set, and takes another", async () => {
    const { page, faults } = await openPage(
      browser,
      `${server.base}/#/steer?d=small&x=p${rowToText(Float32Array.of(1, 2, 3, 4))}&edits=1.add.0.5`,
    );
    await unlock(page);
    await page.getByLabel("Save these edits as").fill("mine");
    const save = page.getByRole("button", { name: "Save", exact: true });
    await save.click();
    await page.getByText("This call requires a management key").waitFor();
    await page.getByRole("button", { name: "Use another key" }).click();
    await page.getByRole("button", { name: "Keep the key" }).click();
    await page.getByRole("button", { name: "Use another key" }).click();
    await page.getByLabel("API key").fill(ADMIN);
    await page.keyboard.press("Enter");
    await save.click();
    await page.getByText("Saved mine.").waitFor();
    expect(faults).toEqual([]);
    await page.context().close();
  });

  it("works behind the path of a proxy, and reaches nothing else", async () => {
    const { port } = behind.address() as AddressInfo;
    const { page, faults } = await openPage(browser, `http://127.0.0.1:${port}${PREFIX}/#/encode?d=small`);
    await unlock(page);
    await page.getByRole("button", { name: "Paste" }).click();
    await page.getByLabel("4 numbers").fill("1 2 3 4");
    await page.getByRole("button", { name: "Encode", exact: true }).click();
    await page.getByRole("list", { name: "Selections of small, in order" }).waitFor();
    expect(faults).toEqual([]);
    await page.context().close();
  });

  it("says why a dictionary failed, in every view that needs it", async () => {
    const { page } = await openPage(browser, `${server.base}/#/dictionaries`);
    await unlock(page);
    await page.locator(".card", { hasText: "broken" }).getByText("failed").waitFor();
    for (const hash of [
      "encode?d=small&d2=broken",
      ...["encode", "features", "feature", "steer", "map"].map((view) => `${view}?d=broken`),
    ]) {
      await page.evaluate(`location.hash = "#/${hash}"`);
      if (hash.includes("d2")) await page.getByText("The second dictionary cannot encode").waitFor();
      await page.getByText(/broken could not be loaded/).waitFor();
    }
    await page.context().close();
  });

  it("lists 262,144 features, and says what a dictionary without words and statistics lacks", async () => {
    const { page, faults } = await openPage(browser, `${server.base}/#/features?d=large`);
    await unlock(page);
    await page.getByText("262,144 features").waitFor();
    const list = page.getByRole("list", { name: "Features of large" });
    await list.focus();
    await page.keyboard.press("End");
    await list.getByText(String(LARGE - 1), { exact: true }).waitFor();
    expect(await list.getByRole("listitem").count()).toBeLessThan(80);
    await page.getByLabel("Search words").fill("bird");
    await page.getByText("There are no words to search").waitFor();
    await page.evaluate('location.hash = "#/map?d=large"');
    await page.getByText("This dictionary has no map").waitFor();
    await page.evaluate('location.hash = "#/feature?d=large&f=5"');
    await page.getByRole("heading", { name: "Nobody has labelled it" }).waitFor();
    await page.getByText("No statistics").waitFor();
    expect(faults).toEqual([]);
    await page.context().close();
  });

  it("draws a map of 262,144 points and finds the one that is pressed", async () => {
    const points = normals(2 * LARGE, 4);
    const { page, faults } = await openPage(browser, `${server.base}/#/dictionaries`);
    await page.route("**/v1/dictionaries/large/map", (route) =>
      route.fulfill({ contentType: "application/octet-stream", body: Buffer.from(points.buffer) }),
    );
    await unlock(page);
    await page.evaluate('location.hash = "#/map?d=large"');
    const plane = page.locator(`canvas[data-drawn="${LARGE}"]`);
    await plane.waitFor();
    await plane.focus();
    for (const key of ["+", "+", "ArrowLeft", "ArrowUp", "0"]) await page.keyboard.press(key);
    const { width, height } = (await plane.boundingBox())!;
    await plane.click({ position: { x: width / 2, y: height / 2 } });
    await page.waitForURL(/f=\d+/);
    await page.getByText(/^Feature \d+$/).waitFor();
    expect(faults).toEqual([]);
    await page.context().close();
  });

  it("says that the server is gone, and goes on when asked again", async () => {
    const { page } = await openPage(browser, `${server.base}/#/dictionaries`);
    await unlock(page);
    await page.getByRole("heading", { name: "small" }).waitFor();
    await server.stop();
    await page.getByRole("button", { name: "Refresh" }).click();
    await page.getByText(/does not answer. Start it again/).waitFor();
    await page.getByRole("button", { name: "Try again" }).waitFor();
    await page.context().close();
  });
});
