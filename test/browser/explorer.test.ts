/** Every view of the explorer with the shipped dictionaries, in a browser: what it shows, by keyboard, and axe. */
import { fileURLToPath } from "node:url";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readExamples } from "../../src/engine/dictionaries/examples.ts";
import { rowToText } from "../../web/src/rows/row-text.ts";
import { axeViolations, browserThere, openPage, startBrowser, type WatchedPage } from "../support/browser.ts";
import { FULL, sample } from "../support/full.ts";
import { npyBytes } from "../support/npy-bytes.ts";
import { type RunningServer, startServer } from "../support/running-server.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

const MODELS = fileURLToPath(new URL("../../models", import.meta.url));
const MP = "minilm-wordnet-mp";
const TOPK = "minilm-wordnet-topk";
/** Something that a view shows once it is there. */
const READY = ".code-feature, .card, .state, a.feature-row, .related a, .moved li, .map-shown a, .meter-value";
const HASHES = [
  `#/features?d=${MP}&q=bird`,
  `#/feature?d=${MP}&f=890`,
  `#/steer?d=${MP}&x=e4&edits=890.add.0.5`,
  `#/map?d=${MP}&f=890`,
  `#/contrast?d=${MP}&a=0-5&b=6-12`,
  "#/live",
  "#/dictionaries",
  "#/nowhere",
];

describe.runIf(browserThere())("the explorer", () => {
  let server: RunningServer;
  let browser: Browser;
  let row: Float32Array;
  let opened: WatchedPage[] = [];

  beforeAll(async () => {
    [server, browser] = await Promise.all([startServer(MODELS, temporaryFolder()), startBrowser()]);
    row = (await readExamples(`${MODELS}/${MP}`, 384))!.rows.subarray(0, 384);
  }, 180_000);
  afterAll(async () => {
    await browser?.close();
    await server?.stop();
  });

  async function show(hash: string, options = {}) {
    const watched = await openPage(browser, `${server.base}/${hash}`, options);
    opened.push(watched);
    return watched.page;
  }

  /** Nothing went wrong on the pages of a test. */
  async function expectQuiet(): Promise<void> {
    const faults = opened.flatMap((page) => page.faults);
    await Promise.all(opened.map(({ page }) => page.context().close()));
    opened = [];
    expect(faults).toEqual([]);
  }

  const encode = (more = ""): string => `#/encode?d=${MP}&x=p${rowToText(row)}${more}`;

  it("shows a code in order of selection, and moves the budget without a request", async () => {
    const page = await show(encode("&k=4"));
    const steps = page.getByRole("list", { name: `Selections of ${MP}, in order` }).getByRole("listitem");
    await steps.first().waitFor();
    const answer = await fetch(`${server.base}/v1/dictionaries/${MP}/encode`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ inputs: [[...row]], budget: { max_atoms: 5 }, include: ["trace"] }),
    });
    const { codes } = (await answer.json()) as { codes: { trace: { indices: number[] }; relative_error: number }[] };
    const shown = await page.locator(".code-feature").allInnerTexts();
    expect(shown.slice(0, 5)).toEqual(codes[0]!.trace.indices.map(String));

    let asked = 0;
    // Fonts may come late.
    page.on("request", (request) => (asked += Number(request.resourceType() === "fetch")));
    const slider = page.getByRole("slider", { name: "Budget in selections" });
    await slider.focus();
    await page.keyboard.press("ArrowRight");
    await page
      .getByText(`${(codes[0]!.relative_error * 100).toFixed(1)} %`)
      .first()
      .waitFor();
    expect(await slider.getAttribute("aria-valuetext")).toContain("5 selections");
    await page.waitForURL(/[?&]k=5/);
    expect(asked).toBe(0);
    await expectQuiet();
  });

  it("compares two dictionaries, and two encoders, side by side", async () => {
    for (const [more, ids] of [
      [`&d2=${TOPK}`, [MP, TOPK]],
      [`&d2=${MP}&e2=orthogonal`, [MP, MP]],
    ] as const) {
      const page = await show(encode(more));
      await page.locator(".codes section").nth(1).waitFor();
      await page.locator(".tone-second .code-feature").first().waitFor();
      expect(await page.locator(".codes section").count()).toBe(2);
      const names = await page
        .getByRole("list", { name: /^Selections of/ })
        .evaluateAll((lists) => lists.map((list) => list.getAttribute("aria-label")));
      expect(names).toEqual(ids.map((id) => `Selections of ${id}, in order`));
    }
    await expectQuiet();
  });

  it("encodes pasted numbers and rows of a dropped file, and says what is wrong with others", async () => {
    const page = await show(`#/encode?d=${MP}`);
    await page.getByRole("button", { name: "Paste" }).click();
    await page.getByLabel("384 numbers").fill("1, 2, x");
    await page.getByRole("button", { name: "Encode", exact: true }).click();
    await page.getByText('Number 3 is "x".').waitFor();
    await page.getByLabel("384 numbers").fill(JSON.stringify([...row]));
    await page.getByRole("button", { name: "Encode", exact: true }).click();
    await page.getByRole("heading", { name: "A pasted row of 384 numbers" }).waitFor();

    await page.getByRole("button", { name: "File" }).click();
    const file = page.locator("input[type=file]");
    await file.setInputFiles({
      name: "narrow.npy",
      mimeType: "",
      buffer: Buffer.from(npyBytes([2, 3], [1, 2, 3, 4, 5, 6])),
    });
    await page.getByText("Rows of narrow.npy have 3 numbers").waitFor();
    const rows = Buffer.from(npyBytes([2, 384], [...row, ...row.toReversed()]));
    await file.setInputFiles({ name: "rows.npy", mimeType: "", buffer: rows });
    await page.getByRole("heading", { name: "Row 1 of rows.npy" }).waitFor();
    await page.getByRole("link", { name: "Row 2" }).click();
    await page.getByRole("heading", { name: "Row 2 of rows.npy" }).waitFor();
    await page.getByRole("list", { name: /^Selections of/ }).waitFor();
    await expectQuiet();
  });

  it("shows the request behind a code as curl and Python", async () => {
    const page = await show(encode());
    await page.getByText("The request behind this code").click();
    await page.getByText(`${server.base}/v1/dictionaries/${MP}/encode`).waitFor();
    await page.getByRole("button", { name: "Python" }).click();
    await page.getByText(`client.encode("${MP}"`).waitFor();
    await expectQuiet();
  });

  it("lists dictionaries with their figures", async () => {
    const page = await show("#/dictionaries");
    await page.getByRole("heading", { name: TOPK }).waitFor();
    expect(await page.locator(".card").first().innerText()).toMatch(/matching pursuit[\s\S]*4,096[\s\S]*cpu, fused/);
    await expectQuiet();
  });

  it("is reached by keyboard from the bar to a feature of a code", async () => {
    const page = await show(encode());
    await page.locator(".code-feature").first().waitFor();
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    expect(await page.evaluate("document.activeElement.id")).toBe("main");
    const first = page.locator(".code a").first();
    for (
      let tabs = 0;
      tabs < 40 && !(await first.evaluate((link) => link === link.ownerDocument.activeElement));
      tabs++
    )
      await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    await page.waitForURL(/#\/feature\?d=minilm-wordnet-mp&f=\d+/);
    await expectQuiet();
  });

  it("searches and sorts features, and opens one", async () => {
    const page = await show(`#/features?d=${MP}`);
    const list = page.getByRole("list", { name: `Features of ${MP}` });
    await page.getByText("4,096 features").waitFor();
    // Only those in sight exist; the end is reached without all before it.
    expect(await list.getByRole("listitem").count()).toBeLessThan(80);
    await list.focus();
    await page.keyboard.press("End");
    await list.getByText("4095", { exact: true }).waitFor();

    await page.getByRole("button", { name: "Sort by rate" }).click();
    await page.waitForURL(/sort=rate/);
    const rates = (await (await fetch(`${server.base}/v1/dictionaries/${MP}/features?sort=rate&limit=1`)).json()) as {
      features: { index: number }[];
    };
    await list.getByText(String(rates.features[0]!.index), { exact: true }).waitFor();

    await page.getByLabel("Search words").fill("bird");
    await page.getByText(/features match/).waitFor();
    await page.waitForURL(/q=bird/);
    // Still in the order of rates: the most frequent one that matches comes first.
    const found = (await (
      await fetch(`${server.base}/v1/dictionaries/${MP}/features?query=bird&sort=rate&limit=1`)
    ).json()) as { features: { index: number }[] };
    await list.getByText(String(found.features[0]!.index), { exact: true }).waitFor();
    await list.getByRole("link").first().click();
    await page.waitForURL(/#\/feature\?/);
    await expectQuiet();
  });

  it("shows what a feature is, and finds rows like it", async () => {
    const page = await show(`#/feature?d=${MP}&f=890`);
    await page.getByRole("heading", { name: /^bird/ }).waitFor();
    await page.getByRole("heading", { name: /Nearest features/ }).waitFor();
    expect(await page.locator(".related a").count()).toBeGreaterThan(4);
    await page.getByRole("button", { name: "Find rows like it" }).click();
    await page.getByText(/^Active in \d+ of 64 examples/).waitFor();
    await page.getByRole("link", { name: "Feature after" }).click();
    await page.getByText("Feature 891").waitFor();
    await expectQuiet();
  });

  it("keeps a person's own label", async () => {
    const page = await show(`#/feature?d=${MP}&f=17`);
    await page.getByLabel("Your own label").fill("small things that fly");
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByText("Saved.").waitFor();
    await page.locator(".labels").getByText("small things that fly").waitFor();
    await page.getByRole("button", { name: "Remove" }).click();
    await page.getByRole("button", { name: "Remove" }).waitFor({ state: "detached" });
    await expectQuiet();
  });

  it("steers a row and shows its code before and after", async () => {
    const page = await show(`#/steer?d=${MP}&x=e4`);
    await page.getByText("No edit yet").waitFor();
    await page.getByLabel("Add a feature, by its words or its number").fill("890");
    await page.keyboard.press("Enter");
    await page.waitForURL(/edits=890\.add\.0\.5/);
    const edited = page.getByRole("list", { name: "Features before and after" }).getByRole("listitem").first();
    await edited.getByText("edited").waitFor();
    expect(await edited.innerText()).toMatch(/890 bird/);
    await page.getByLabel("What it does").selectOption("remove");
    await page.waitForURL(/edits=890\.remove/);
    await page.getByText("its coefficient becomes 0").waitFor();
    await page.getByText("The request behind this view").click();
    await page.getByText('"op":"remove"').waitFor();
    await expectQuiet();
  });

  it("saves edits as a set, loads it, and says when somebody else saved it meanwhile", async () => {
    const page = await show(`#/steer?d=${MP}&x=e4&edits=890.add.0.5`);
    const sets = `${server.base}/v1/dictionaries/${MP}/steering`;
    const put = (name: string, edits: object[]) =>
      fetch(`${sets}/${name}`, {
        method: "PUT",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ edits }),
      });
    const editsOf = async (name: string): Promise<unknown> =>
      ((await (await fetch(`${sets}/${name}`)).json()) as { edits: unknown }).edits;
    await page.getByText("None yet.").waitFor();
    await page.getByLabel("Save these edits as").fill("birds");
    await page.getByRole("button", { name: "Save", exact: true }).click();
    await page.getByText("Saved birds.").waitFor();
    expect(await editsOf("birds")).toEqual([{ feature: 890, op: "add", value: 0.5 }]);

    // Somebody else's version is neither lost nor taken without asking.
    expect((await put("birds", [{ feature: 3, op: "remove" }])).status).toBe(200);
    await page.getByLabel("Amount as a number").fill("0.7");
    await page.keyboard.press("Tab");
    await page.getByRole("button", { name: "Save changes" }).click();
    await page.getByText("Nothing was changed: the server has another birds").waitFor();
    expect(await editsOf("birds")).toEqual([{ feature: 3, op: "remove" }]);
    await page.getByRole("button", { name: "Overwrite with mine" }).click();
    await page.getByText("Saved birds.").waitFor();
    expect(await editsOf("birds")).toEqual([{ feature: 890, op: "add", value: 0.7 }]);

    // A name that is taken already.
    await put("other", [{ feature: 4, op: "set", value: 2 }]);
    await page.getByLabel("Save these edits as").fill("other");
    await page.getByRole("button", { name: "Save", exact: true }).click();
    await page.getByRole("button", { name: "Load theirs" }).click();
    await page.waitForURL(/edits=4\.set\.2/);
    await page.getByRole("button", { name: "Load the set birds" }).click();
    await page.waitForURL(/edits=890\.add\.0\.7/);

    await put("wide", [{ feature: 1, op: "clamp", max: 1 }]);
    await page.reload();
    await page.getByRole("button", { name: "Load the set wide" }).click();
    await page.getByText("edit 1 is clamp with max, and this view has no form for it").waitFor();
    await page.getByRole("button", { name: "Load the set birds" }).click();
    await page.getByText("Loaded birds.").waitFor();
    await page.getByRole("button", { name: "Remove set" }).click();
    await page.getByText("Removed birds.").waitFor();
    expect((await fetch(`${sets}/birds`)).status).toBe(404);
    await expectQuiet();
  });

  it("draws a map, marks what a search finds, and goes on by keyboard", async () => {
    const page = await show(`#/map?d=${MP}&q=bird`);
    const plane = page.locator("canvas[data-drawn='4096'], .map-plane .state");
    await plane.waitFor();
    await page.locator(".map-side .row-list button").first().click();
    await page.waitForURL(/f=\d+/);
    await page.getByText(/^Feature \d+/).waitFor();
    await expectQuiet();
  });

  it("draws the map without WebGL, and says so", async () => {
    const watched = await openPage(browser, `${server.base}/#/live`);
    opened.push(watched);
    const { page } = watched;
    await page.evaluate(`{
      const before = HTMLCanvasElement.prototype.getContext;
      HTMLCanvasElement.prototype.getContext = function (kind, options) {
        return kind === "webgl2" ? null : before.call(this, kind, options);
      };
      location.hash = "#/map?d=${MP}&q=bird";
    }`);
    const plane = page.locator("canvas[data-drawn='4096']");
    await plane.waitFor();
    await page.getByText("Drawn without WebGL 2").waitFor();
    await page.locator(".map-side .row-list button").first().waitFor();
    // Plain points and marked ones, in colours of their own.
    const colours = await plane.evaluate((canvas) => {
      const { width, height } = canvas as unknown as { width: number; height: number };
      type Context = { getImageData(...box: number[]): { data: Uint8ClampedArray } };
      const { data } = (canvas as unknown as { getContext(kind: "2d"): Context })
        .getContext("2d")
        .getImageData(0, 0, width, height);
      const seen = new Map<string, number>();
      for (let at = 0; at < data.length; at += 4) {
        if (data[at + 3] === 0) continue;
        const colour = data.slice(at, at + 4).join();
        seen.set(colour, (seen.get(colour) ?? 0) + 1);
      }
      return [...seen.values()].filter((count) => count > 50).length;
    });
    expect(colours).toBe(2);
    await plane.focus();
    for (const key of ["+", "ArrowLeft", "0"]) await page.keyboard.press(key);
    const { width, height } = (await plane.boundingBox())!;
    await plane.click({ position: { x: width / 2, y: height / 2 } });
    await expectQuiet();
  });

  it("contrasts two sets of examples", async () => {
    const { paths } = (await (await fetch(`${server.base}/openapi.json`)).json()) as { paths: object };
    if (!("/v1/dictionaries/{id}/contrast" in paths)) return console.log("SKIPPED: the server has no contrast");
    const page = await show(`#/contrast?d=${MP}&a=0`);
    await page.getByText("Set B is empty").waitFor();
    await page.getByLabel("Examples with the words").fill("position");
    await page.getByRole("button", { name: /^All [1-9]\d* to B$/ }).click();
    await page.waitForURL(/b=\d/);
    const first = page
      .getByRole("list", { name: /^Features that tell the sets apart/ })
      .getByRole("listitem")
      .first();
    await first.waitFor();
    expect(await first.innerText()).toMatch(/%/);
    await expectQuiet();
  });

  it("shows what the server does now", async () => {
    const page = await show("#/live");
    await page.getByText("rows a second").waitFor();
    await page.getByRole("heading", { name: "Why rows ended" }).waitFor();
    await page.getByText("the budget of atoms is spent").waitFor();
    await expectQuiet();
  });

  const LOOKS = [
    ["light", 1440],
    ["light", 390],
    ["dark", 1440],
    ["dark", 390],
  ] as const;
  it.each(sample(LOOKS, 2))(
    "has no fault that axe finds, in %s colours, %i pixels wide",
    async (colorScheme, width) => {
      // A quick run shows each view in one look.
      const views = [encode(`&d2=${TOPK}`), ...HASHES].filter((_, i) => FULL || i % 2 === (width === 390 ? 0 : 1));
      for (const hash of views) {
        const page = await show(hash, { colorScheme, viewport: { width, height: 900 } });
        await page.locator(READY).first().waitFor();
        expect([hash, await axeViolations(page)]).toEqual([hash, []]);
        expect(await page.evaluate("document.documentElement.scrollWidth <= innerWidth")).toBe(true);
      }
      await expectQuiet();
    },
    180_000,
  );
});
