/**
 * Writes openapi/openapi.json from the schemas that requests are validated by.
 *
 *     npm run openapi          writes it
 *     npm run openapi:check    fails where the committed file differs
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { pino } from "pino";
import { Telemetry } from "../../src/engine/core/telemetry.ts";
import type { Engine } from "../../src/engine/engine.ts";
import { buildApp } from "../../src/server/app.ts";
import { resolveSettings } from "../../src/server/settings.ts";

const FILE = new URL("../../openapi/openapi.json", import.meta.url);

const { version } = JSON.parse(await readFile(new URL("../../package.json", import.meta.url), "utf8")) as {
  version: string;
};
const app = await buildApp({
  // Describing the routes asks nothing of the engine.
  engine: {} as Engine,
  limits: resolveSettings(),
  telemetry: new Telemetry(),
  access: { apiKeys: [], adminKeys: [], corsOrigins: [], allowedHosts: [], rateLimit: 0 },
  metrics: {
    text: () => Promise.resolve(""),
    contentType: "text/plain",
    executions: () => [],
    showBodies: () => {},
    showRoute: () => {},
  },
  logger: pino({ enabled: false }),
  version,
});
await app.ready();
const text = `${JSON.stringify(app.swagger(), null, 2)}\n`;
await app.close();

if (process.argv.includes("--check")) {
  const committed = await readFile(FILE, "utf8").catch(() => "");
  if (committed !== text) {
    console.error("openapi/openapi.json is not what the schemas say; run: npm run openapi");
    process.exitCode = 1;
  }
} else {
  await writeFile(FILE, text);
  generateClientTypes();
}

/** Types of clients/typescript, by its own generator. */
function generateClientTypes(): void {
  const folder = new URL("../../clients/typescript/", import.meta.url);
  if (!existsSync(new URL("node_modules", folder))) {
    console.error("clients/typescript keeps its old types: run npm ci there, and npm run openapi again.");
    return;
  }
  const { status } = spawnSync("npm", ["run", "--silent", "generate"], { cwd: folder, stdio: "inherit" });
  process.exitCode = status ?? 1;
}
