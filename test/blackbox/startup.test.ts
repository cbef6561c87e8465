/** What the built server does and says while its dictionaries load. Linux: reads /proc. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, it } from "vitest";
import { post } from "../support/client.ts";
import { writeModelFolder } from "../support/model-folder.ts";
import { runtimeOf, type ServerProcess, spawnServer } from "../support/running-server.ts";
import { normals, randomAtoms } from "../support/seeded.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";
import { until } from "../support/until.ts";

const D = 64;
const models = temporaryFolder();
for (const [i, id] of ["a", "b", "slow"].entries())
  writeModelFolder(models, id, { atoms: randomAtoms(64, D, i), d: D });
mkdirSync(join(models, "broken"));
writeFileSync(join(models, "broken", "dictionary.json"), "{}");

const running: ServerProcess[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map((server) => server.stop()));
});

it("serves what is loaded while the rest loads, says how far it is, and greets once at the end", async () => {
  const server = spawnServer(models, temporaryFolder(), { PURSUIT_READY: "any" });
  running.push(server);
  let printed = "";
  server.process.stdout!.setEncoding("utf8").on("data", (text: string) => (printed += text));
  // It loads for as long as it is stopped.
  const slow = await runtimeOf(server, "slow");
  process.kill(slow, "SIGSTOP");
  await until(() => server.log().includes("Listening at"));
  const base = /Listening at (http:[^\s;]+);/.exec(server.log())![1]!;
  const states = async (): Promise<Record<string, string>> => {
    const { dictionaries } = (await (await fetch(`${base}/v1/dictionaries`)).json()) as {
      dictionaries: readonly { id: string; state: string }[];
    };
    return Object.fromEntries(dictionaries.map(({ id, state }) => [id, state]));
  };
  await until(async () => {
    const { a, b } = await states();
    return a === "ready" && b === "ready";
  });
  expect(await states()).toEqual({ a: "ready", b: "ready", broken: "failed", slow: "loading" });
  expect((await fetch(`${base}/health/ready`)).status).toBe(200);
  const body = { inputs: [[...normals(D, 1)]], budget: { max_atoms: 4 } };
  expect(await post(base, "/v1/dictionaries/a/encode", body)).toMatchObject({ dictionary: "a" });
  const early = await fetch(`${base}/v1/dictionaries/slow/encode`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  expect([early.status, early.headers.get("retry-after")]).toEqual([503, "1"]);
  expect(await early.json()).toMatchObject({
    code: "PURSUIT_NOT_READY",
    detail: "Dictionary slow is still being loaded.",
  });
  await until(() => /Done with 2 of 3 dictionaries; loading slow \(\d+ s\)\./.test(server.log()));
  expect(printed).toBe("");
  process.kill(slow, "SIGCONT");
  await until(() => printed.includes("Pursuit serves"));
  await until(() => printed.endsWith("\n"));
  expect(printed).toBe(
    `\nPursuit serves a, b, slow at ${base} (open it in a browser; API: ${base}/docs).\nIt does not serve broken: ${base}/v1/dictionaries says why.\n`,
  );
  expect(await post(base, "/v1/dictionaries/slow/encode", body)).toMatchObject({ dictionary: "slow" });
});
