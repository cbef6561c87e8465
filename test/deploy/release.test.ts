/** What is released: packages of one version, and a server that runs by npx from its package. */
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { expect, it } from "vitest";
import { parse } from "yaml";
import { itInFull } from "../support/full.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

const HERE = join(import.meta.dirname, "../..");
const read = (path: string): string => readFileSync(join(HERE, path), "utf8");
const versionOf = (path: string): string => (JSON.parse(read(path)) as { readonly version: string }).version;

it("has one version in every package", () => {
  const python = /^__version__ = "(.*)"$/m.exec(read("clients/python/src/pursuit_client/__init__.py"))?.[1];
  const version = versionOf("package.json");
  expect({ typescript: versionOf("clients/typescript/package.json"), python }).toEqual({
    typescript: version,
    python: version,
  });
  const chart = "deploy/helm/pursuit/Chart.yaml";
  if (existsSync(join(HERE, chart))) expect(parse(read(chart))).toMatchObject({ appVersion: version });
});

itInFull(
  "serves the shipped dictionaries from its npm package, in an empty folder and without a compiler",
  { timeout: 300_000 },
  async () => {
    const folder = temporaryFolder();
    const npm = (...args: readonly string[]) => promisify(execFile)("npm", args, { cwd: folder });
    await npm("pack", "--silent", "--pack-destination", folder, HERE);
    await npm("init", "-y");
    const archive = `./pursuit-server-${versionOf("package.json")}.tgz`;
    await npm("install", "--ignore-scripts", "--omit=dev", "--no-audit", "--no-fund", "--prefer-offline", archive);
    expect(existsSync(join(folder, "node_modules/typescript"))).toBe(false);

    const server = spawn(join(folder, "node_modules/.bin/pursuit"), ["serve", "--port", "0"], {
      cwd: folder,
      stdio: ["ignore", "pipe", "ignore"],
    });
    const exited = once(server, "exit");
    let address: string | undefined;
    for await (const line of createInterface({ input: server.stdout })) {
      address = /^Pursuit serves minilm-wordnet-mp, .* at (http:\S+)/.exec(line)?.[1];
      if (address !== undefined) break;
    }
    server.stdout.resume();
    expect((await fetch(`${address}/v1/dictionaries/minilm-wordnet-mp`)).status).toBe(200);
    const page = await fetch(`${address}/`, { headers: { accept: "text/html" } });
    expect([page.status, page.headers.get("content-type")]).toEqual([200, expect.stringContaining("text/html")]);
    server.kill("SIGTERM");
    expect((await exited)[0]).toBe(0);
  },
);
