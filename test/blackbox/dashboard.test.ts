/**
 * Every query of the dashboard against a real Prometheus that scrapes a loaded server. tools/ci-setup installs Prometheus. Full run only.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Dashboard, queriesOf } from "../support/dashboard-queries.ts";
import { FULL } from "../support/full.ts";
import { writeModelFolder } from "../support/model-folder.ts";
import { type RunningServer, startServer } from "../support/running-server.ts";
import { randomAtoms } from "../support/seeded.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";
import { findTool } from "../support/tool.ts";
import { until } from "../support/until.ts";

const file = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const prometheus = FULL ? findTool("prometheus", "prometheus") : null;
const D = 16;

describe.runIf(prometheus !== null)("the dashboard on a real Prometheus", { timeout: 180_000 }, () => {
  let server: RunningServer;
  let scraper: ChildProcess;
  let base: string;
  const state = { over: false };
  let load: Promise<void>;

  beforeAll(async () => {
    const models = temporaryFolder();
    for (const [i, id] of ["one", "two"].entries())
      writeModelFolder(models, id, { atoms: randomAtoms(64, D, i), d: D });
    server = await startServer(models, temporaryFolder());
    const folder = temporaryFolder();
    const config = {
      global: { scrape_interval: "1s" },
      scrape_configs: [{ job_name: "pursuit", static_configs: [{ targets: [`127.0.0.1:${server.port}`] }] }],
      rule_files: [file("deploy/prometheus/pursuit.rules.yaml")],
    };
    // Prometheus reads YAML, and so JSON.
    writeFileSync(join(folder, "prometheus.yml"), JSON.stringify(config));
    const flags = [`--config.file=${folder}/prometheus.yml`, `--storage.tsdb.path=${folder}/data`];
    scraper = spawn(prometheus!, [...flags, "--web.listen-address=127.0.0.1:0"], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    for await (const line of createInterface({ input: scraper.stderr! })) {
      const address = /msg="Listening on" address=(127\.0\.0\.1:(?!0$)\d+)$/.exec(line)?.[1];
      if (address === undefined) continue;
      base = `http://${address}`;
      scraper.stderr!.resume();
      break;
    }
    // It listens before it can answer queries.
    await until(async () => (await fetch(`${base}/-/ready`)).ok);
    load = drive(server.base, state);
  });

  afterAll(async () => {
    state.over = true;
    await load;
    scraper.kill();
    await once(scraper, "exit");
    await server.stop();
  });

  it("has data for every query", async () => {
    const { panels } = JSON.parse(readFileSync(file("deploy/grafana/pursuit.json"), "utf8")) as Dashboard;
    const missing = new Set(queriesOf({ panels }).map(({ expr }) => expr));
    expect(missing.size).toBeGreaterThan(25);
    await until(async () => {
      for (const expr of missing) if ((await query(base, expr)).length > 0) missing.delete(expr);
      return missing.size === 0;
    });
  });

  it("says what the server says", async () => {
    expect(await query(base, "sum(pursuit_ready)")).toEqual([1]);
    expect(await query(base, 'sum(pursuit_dictionary_state{state="ready"})')).toEqual([2]);
    const [rows] = await query(base, 'sum(pursuit_rows_total{dictionary="one"})');
    expect(rows).toBeGreaterThan(0);
  });

  it("evaluates the alert rules without an error", async () => {
    await until(async () => (await rules(base)).every(({ health }) => health !== "unknown"));
    expect((await rules(base)).filter(({ health }) => health !== "ok")).toEqual([]);
  });
});

/** Encodes rows by both dictionaries, one request after another, until told to stop. */
async function drive(base: string, state: { readonly over: boolean }): Promise<void> {
  const rows = randomAtoms(4, D, 9);
  const body = JSON.stringify({ inputs: [0, 1, 2, 3].map((i) => [...rows.subarray(i * D, (i + 1) * D)]) });
  for (let i = 0; !state.over; i++) {
    const answer = await fetch(`${base}/v1/dictionaries/${i % 2 === 0 ? "one" : "two"}/encode`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body,
    });
    expect(answer.status).toBe(200);
    await answer.arrayBuffer();
  }
}

/** Values of an instant query. @throws Error where Prometheus cannot evaluate it */
async function query(base: string, expr: string): Promise<readonly number[]> {
  const answer = await fetch(`${base}/api/v1/query?query=${encodeURIComponent(expr)}`);
  const said = (await answer.json()) as {
    readonly status: string;
    readonly error?: string;
    readonly data?: { readonly result: readonly { readonly value: readonly [number, string] }[] };
  };
  if (said.status !== "success") throw new Error(`${expr}: ${said.error}`);
  return said.data!.result.map(({ value }) => Number(value[1]));
}

async function rules(base: string): Promise<readonly { readonly name: string; readonly health: string }[]> {
  const said = (await (await fetch(`${base}/api/v1/rules`)).json()) as {
    readonly data: { readonly groups: readonly { readonly rules: readonly { name: string; health: string }[] }[] };
  };
  return said.data.groups.flatMap((group) => group.rules).map(({ name, health }) => ({ name, health }));
}
