/** What `pursuit stats` and `pursuit labels` write is what the server answers. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { get, post } from "../support/client.ts";
import { writeModelFolder } from "../support/model-folder.ts";
import { npyBytes } from "../support/npy-bytes.ts";
import { callCli } from "../support/call-cli.ts";
import { type RunningServer, startServer } from "../support/running-server.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

const D = 6;
const M = 6;
const atoms = Float32Array.from({ length: M * D }, (_, i) => (i % (D + 1) === 0 ? 1 : 0));

/** Row i is i + 1 times the atom i % 4, and each third one a tenth of the next atom beside it. */
const ROWS = 60;
const rows = Array.from({ length: ROWS }, (_, i) =>
  Array.from({ length: D }, (__, c) => (c === i % 4 ? i + 1 : c === (i % 4) + 1 && i % 3 === 0 ? (i + 1) / 10 : 0)),
);
const THINGS = ["bird", "stone", "river", "music"];
const texts = rows.map((_, i) => `the ${THINGS[i % 4]} number${i}`);

let folder: string;
let models: string;
let server: RunningServer;
beforeAll(async () => {
  folder = temporaryFolder();
  models = join(folder, "models");
  writeModelFolder(models, "small", { atoms, d: D });
  writeModelFolder(models, "bare", { atoms, d: D });
  await writeFile(join(folder, "rows.npy"), npyBytes([ROWS, D], rows.flat()));
  await writeFile(join(folder, "texts.txt"), texts.join("\n"));
  await writeFile(join(folder, "classes.json"), JSON.stringify(rows.map((_, i) => (i % 4 === 0 ? "animal" : "thing"))));
  const made = await stats(["--texts", join(folder, "texts.txt"), "--classes", join(folder, "classes.json")]);
  expect([made.code, made.stdout]).toEqual([0, expect.stringContaining("5 of 6 features are active in 60 rows")]);
  server = await startServer(models, folder);
});
afterAll(() => server.stop());

const stats = (args: readonly string[]) =>
  callCli(["stats", "small", "--models-dir", models, "--rows", join(folder, "rows.npy"), "--max-atoms", "2", ...args]);
const PATH = "/v1/dictionaries/small";

describe("statistics of a dictionary", () => {
  it("are a feature's answer", async () => {
    const feature = await get(server.base, `${PATH}/features/0`);
    expect(feature).toMatchObject({
      index: 0,
      label: expect.stringContaining("bird"),
      label_source: "examples",
      rate: 0.25,
      statistics: { rows: 15, rate: 0.25, mean: 29, max: 57 },
      examples: [
        { row: 56, value: 57, text: "the bird number56" },
        { row: 52, value: 53 },
        ...Array.from({ length: 8 }, () => expect.anything()),
      ],
      classes: [
        { class: "thing", distance: 1 },
        { class: "animal", distance: 1, average_precision: 1 },
      ],
    });
    expect(await get(server.base, `${PATH}/features/1`)).toMatchObject({
      fires_with: [
        { index: 0, count: 5, label_source: "examples" },
        { index: 2, count: 5 },
      ],
    });
    expect(await get(server.base, `${PATH}/features/5`)).not.toHaveProperty("statistics");
  });

  it("sort the list, and their texts are searched", async () => {
    const { features } = await get<{ features: { index: number; max: number }[] }>(
      server.base,
      `${PATH}/features?sort=max&limit=3`,
    );
    expect(features.map(({ index }) => index)).toEqual([3, 2, 1]);
    const found = await get<typeof features>(server.base, `${PATH}/features?query=number58&limit=1`);
    expect(found).toMatchObject({ features: [{ index: 2 }] });
  });

  it("give words to every atom of a code, marked as made from examples", async () => {
    const body = { inputs: rows.slice(0, 2), budget: { max_atoms: 1 }, include: ["labels"] };
    const { codes } = await post<{ codes: object[] }>(server.base, `${PATH}/encode`, body);
    expect(codes).toMatchObject([
      { indices: [0], labels: [expect.stringContaining("bird")], label_sources: ["examples"] },
      { indices: [1], labels: [expect.stringContaining("stone")], label_sources: ["examples"] },
    ]);
  });

  it("hold a map of all atoms", async () => {
    const answer = await fetch(`${server.base}${PATH}/map`);
    expect([answer.status, (await answer.arrayBuffer()).byteLength]).toEqual([200, 4 * 2 * M]);
  });
});

it.each([
  ["map", "PURSUIT_NO_STATISTICS"],
  ["features?query=bird", "PURSUIT_NO_LABELS"],
  ["examples", "PURSUIT_NO_EXAMPLES"],
])("a dictionary without statistics answers %s by %s", async (path, code) => {
  const answer = await fetch(`${server.base}/v1/dictionaries/bare/${path}`);
  expect([answer.status, await answer.json()]).toMatchObject([404, { code }]);
});

describe("pursuit stats", () => {
  it("refuses texts and classes that are not one a row", async () => {
    await writeFile(join(folder, "few.txt"), "one\ntwo");
    const few = join(folder, "few.txt");
    expect(await stats(["--texts", few])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("--texts holds 2 texts, --rows 60 rows; give a text a row."),
    });
    expect(await stats(["--classes", few])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("--classes holds 2 lines, --rows 60 rows; give a class a row."),
    });
  });
});
