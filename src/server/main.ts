import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import closeWithGrace from "close-with-grace";
import type { FastifyInstance } from "fastify";
import type { Logger } from "pino";
import { CatalogEngine } from "../engine/catalog/catalog-engine.ts";
import { readExamples } from "../engine/catalog/folder/examples.ts";
import { scanModels } from "../engine/catalog/folder/scan-models.ts";
import { ServedDictionary } from "../engine/catalog/served-dictionary.ts";
import { systemClock } from "../engine/clock.ts";
import { buildApp } from "./app.ts";
import { type TryableRows, writeFirstRequest } from "./first-request.ts";
import { createLogger } from "./logger.ts";
import { Metrics } from "./metrics.ts";
import { servingOptions } from "./serving-options.ts";
import type { Settings } from "./settings.ts";

/** Sentences that the first request shows. */
const SHOWN = 3;

/** Milliseconds after which a shutdown is forced, beyond the drain. */
const CLOSE_GRACE = 30_000;

/** Everything wired together: listens, loads the dictionaries, and closes cleanly on SIGINT and SIGTERM. */
export async function serve(settings: Settings): Promise<void> {
  const started = performance.now();
  const logger = createLogger(settings.logLevel);
  const modelsDir = resolve(settings.modelsDir);
  const { dictionaries, misnamed } = await scanModels(modelsDir);
  for (const name of misnamed)
    logger.error(`The folder ${name} in ${modelsDir} is not served: its name is no dictionary id.`);
  if (dictionaries.length === 0)
    logger.error(`There is no dictionary in ${modelsDir}; "pursuit import" puts one there.`);

  let engine: CatalogEngine | null = null;
  const metrics = new Metrics(() => engine?.list() ?? []);
  const options = servingOptions(settings, metrics, (level, message, details) => logger[level](details, message));
  const served = dictionaries.map(({ id, folder }) => new ServedDictionary(id, folder, options));
  engine = new CatalogEngine(served, { clock: systemClock, observer: metrics });
  const app = await buildApp({
    engine,
    limits: settings,
    observer: metrics,
    metrics,
    logger,
    version: await version(),
  });

  const base = await listen(app, settings);
  closeOnSignals(app, engine, settings, logger);

  await engine.load();
  for (const note of new Set(served.flatMap(({ notes }) => notes))) logger.info(note);
  const { ready, reason } = engine.readiness();
  if (!ready) {
    logger.error(reason);
    return;
  }
  logger.info({ seconds: Math.round(performance.now() - started) / 1000 }, "Ready.");
  await greet(base, engine, modelsDir, settings.cacheDir);
}

/** @throws Error in words, when the address cannot be listened on. */
async function listen(app: FastifyInstance, { host, port }: Settings): Promise<string> {
  try {
    return await app.listen({
      host,
      port,
      listenTextResolver: (address) => `Listening at ${address}; dictionaries are being loaded.`,
    });
  } catch (error) {
    await app.close();
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EADDRINUSE") {
      throw new Error(`${host}:${port} is taken by another process; PURSUIT_PORT or --port names another port.`, {
        cause: error,
      });
    }
    throw new Error(
      `${host}:${port} cannot be listened on (${code ?? String(error)}); see PURSUIT_HOST and PURSUIT_PORT.`,
      { cause: error },
    );
  }
}

/** Not ready first, so that a load balancer turns away; then no new requests; then, when all are answered, the end. */
function closeOnSignals(app: FastifyInstance, engine: CatalogEngine, { drainMs }: Settings, logger: Logger): void {
  closeWithGrace({ delay: drainMs + CLOSE_GRACE, logger }, async ({ signal, err }) => {
    if (err) logger.fatal({ err }, "A fault that nothing caught.");
    else logger.info({ signal }, "Closing: what was accepted is answered first.");
    engine.drain();
    if (!err && drainMs > 0) await new Promise((done) => setTimeout(done, drainMs));
    await app.close();
    await engine.close();
  });
}

/** The address and one line to try. */
async function greet(base: string, engine: CatalogEngine, modelsDir: string, cacheDir: string): Promise<void> {
  const lines = [
    "",
    `Pursuit serves ${engine
      .list()
      .filter(({ state }) => state === "ready")
      .map(({ id }) => id)
      .join(", ")} at ${base} (try ${base}/docs).`,
  ];
  const tryable = await firstRows(engine, modelsDir);
  if (tryable !== null) {
    const line = await writeFirstRequest(base, cacheDir, tryable);
    lines.push(
      "",
      `Encode ${tryable.texts.length} sentences that ${tryable.dictionary} has not seen:`,
      ...tryable.texts.map((text) => `  · ${text}`),
      "",
      line,
      "",
    );
  }
  console.log(lines.join("\n"));
}

async function firstRows(engine: CatalogEngine, modelsDir: string): Promise<TryableRows | null> {
  for (const { id, state, manifest } of engine.list()) {
    if (state !== "ready" || !manifest) continue;
    const examples = await readExamples(resolve(modelsDir, id), manifest.d);
    if (examples === null) continue;
    const rows = Array.from({ length: Math.min(SHOWN, examples.texts.length) }, (_, i) =>
      examples.rows.subarray(i * manifest.d, (i + 1) * manifest.d),
    );
    return { dictionary: id, rows, texts: examples.texts.slice(0, SHOWN) };
  }
  return null;
}

async function version(): Promise<string> {
  const { version: found } = JSON.parse(await readFile(new URL("../../package.json", import.meta.url), "utf8")) as {
    version: string;
  };
  return found;
}
