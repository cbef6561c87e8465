import { readFile } from "node:fs/promises";
import type { FastifyInstance } from "fastify";
import type { Logger } from "pino";
import { CatalogEngine } from "../engine/serving/catalog-engine.ts";
import { findDictionaryFolder, scanModels } from "../engine/dictionaries/scan-models.ts";
import type { ServingOptions } from "../engine/serving/serving-options.ts";
import { ServedDictionary } from "../engine/serving/served-dictionary.ts";
import { PersonLabels } from "../engine/serving/state/person-labels.ts";
import { systemClock } from "../engine/core/clock.ts";
import { Telemetry } from "../engine/core/telemetry.ts";
import { processLimit, threadsThatFit, webAssemblyFits } from "../engine/core/process-limits.ts";
import { WirePool } from "../routes/threads/pool.ts";
import { buildApp } from "./app.ts";
import { greet } from "./greeting.ts";
import { growHeapFreely } from "./machine-memory.ts";
import { endOnSignals, outliveTerminal } from "./lifecycle.ts";
import { connectionLimit, listen } from "./listen.ts";
import { createLogger, logRequests } from "./logger.ts";
import { Metrics } from "./metrics.ts";
import { servingOptions } from "./serving-options.ts";
import { EXPLORER_FOLDER } from "./plugins/explorer.ts";
import { isLoopback } from "./plugins/host.ts";
import { modelsFolder } from "./models-folder.ts";
import type { Settings } from "./settings.ts";
import { openState } from "./state.ts";
import { followCertificate, readCertificate } from "./tls.ts";
import { startTracing } from "./tracing.ts";

/** Everything wired together: listens, loads the dictionaries, and closes cleanly on SIGINT and SIGTERM. */
export async function serve(settings: Settings, tracing: string | null): Promise<void> {
  const started = performance.now();
  outliveTerminal();
  growHeapFreely();
  const logger = createLogger(settings.logLevel, [...settings.apiKeys, ...settings.adminKeys, ...passwordOf(settings)]);
  const modelsDir = modelsFolder(settings.modelsDir);
  const { dictionaries, warnings } = await scanModels(modelsDir);
  for (const warning of warnings) logger.warn(warning);
  if (dictionaries.length === 0)
    logger.error(`There is no dictionary in ${modelsDir}. Add one with "pursuit import" or "pursuit pull".`);

  let engine: CatalogEngine | null = null;
  const metrics = new Metrics(() => engine?.list() ?? []);
  const telemetry = new Telemetry();
  telemetry.subscribe((event) => metrics.take(event));
  telemetry.subscribe(logRequests(logger));
  const released = await version();
  const stopTracing =
    tracing === null ? null : await startTracing(telemetry, { headers: tracing, version: released, logger });
  const log: ServingOptions["log"] = (level, message, details) => logger[level](details, message);
  const store = await openState(settings, log);
  const ownLabels = new PersonLabels(store);
  const stopLabels = await ownLabels.start(systemClock);
  const options: ServingOptions = {
    ...servingOptions(settings, telemetry, log),
    // Earlier releases bound sets to the digest of the weights file.
    onVersion: (id, { sha256, fileSha256 }) => store.rebind(id, fileSha256, sha256),
    ownLabels,
  };
  metrics.showVersion(released);
  metrics.showMemory(options.memory);
  metrics.showCores(options.lease);
  metrics.showLoads(
    () => engine?.loads() ?? [],
    () => engine?.readiness().ready ?? false,
    settings.maxWaitMs,
  );
  const served = dictionaries.map(({ id, folder }) => new ServedDictionary(id, folder, options));
  engine = new CatalogEngine(served, {
    clock: systemClock,
    state: store,
    ownLabels,
    telemetry,
    ready: settings.ready,
    readyWaitMs: settings.readyWaitMs,
    ...(settings.load === "lazy" && {
      onDemand: { clock: systemClock, memory: options.memory, maxWaitMs: settings.maxWaitMs },
    }),
    open: async (id) => {
      const folder = await findDictionaryFolder(modelsDir, id);
      return folder === null ? null : new ServedDictionary(id, folder, options);
    },
  });
  const tls = readCertificate(settings);
  const app = await buildApp({
    engine,
    limits: { ...settings, maxConnections: connectionLimit(settings) },
    pool: await startThreads(settings, logger),
    telemetry,
    access: settings,
    tls,
    explorer: EXPLORER_FOLDER,
    metrics,
    logger,
    version: released,
  });

  const base = await listen(app, settings);
  followCertificate(app, settings);
  closeOnSignals(app, engine, settings, logger, async () => {
    stopLabels();
    await store.close();
    await stopTracing?.();
  });
  warnIfOpen(app, settings, logger);

  await engine.start();
  if (engine.draining) return;
  for (const note of new Set(served.flatMap(({ notes }) => notes))) logger.info(note);
  const { ready, reason } = engine.readiness();
  const serves = engine.list().some(({ state, onDemand = false }) => state === "ready" || onDemand);
  if (ready) logger.info({ seconds: Math.round(performance.now() - started) / 1000 }, "Ready.");
  else logger.error(`${reason}${serves ? " The others are served; PURSUIT_READY=any makes them enough." : ""}`);
  if (serves) await greet(base, engine, modelsDir, settings.cacheDir, settings.apiKeys.length > 0);
}

/**
 * Threads for large bodies. Each lane has one before the server is ready: later the system may refuse it.
 * @throws Error when the address space has no room for it, for which V8 would end the process
 */
async function startThreads(settings: Settings, logger: Logger): Promise<WirePool> {
  const warn = (message: string): void => logger.warn(message);
  const limit = processLimit("addressSpace");
  const limited = `The address space is limited to ${(limit / 2 ** 30).toFixed(1)} GiB (ulimit -v)`;
  if (threadsThatFit(1) < 1) throw new Error(`${limited}: too little for a server. Raise the limit.`);
  if (!webAssemblyFits()) warn(`${limited}: bodies are read by one thread and without WebAssembly, so more slowly.`);
  const pool = new WirePool({ ...settings, warn, single: limit < Infinity });
  await pool.start();
  return pool;
}

/** Listening beyond this machine, without keys and without a check of names, is rarely meant. */
function warnIfOpen(app: FastifyInstance, { apiKeys, allowedHosts }: Settings, logger: Logger): void {
  const addresses = app.addresses().filter((address) => typeof address === "object");
  const open = addresses.find(({ address }) => !isLoopback(address));
  if (open === undefined || apiKeys.length > 0 || allowedHosts.length > 0) return;
  logger.warn(
    `${open.address}:${open.port} is open to every client that reaches it, and to web pages that they visit. Set ` +
      "PURSUIT_API_KEYS to require a key, or PURSUIT_ALLOWED_HOSTS to the names of this server (* accepts any).",
  );
}

/** Not ready first, so that a load balancer turns away; then no new requests; then, when all are answered, the end. */
function closeOnSignals(
  app: FastifyInstance,
  engine: CatalogEngine,
  settings: Settings,
  logger: Logger,
  stop: () => Promise<void>,
): void {
  const { drainMs, closeMs } = settings;
  endOnSignals({
    logger,
    limit: drainMs + closeMs,
    close: async (cause) => {
      engine.drain();
      if ("signal" in cause && drainMs > 0) await new Promise((done) => setTimeout(done, drainMs));
      await app.close();
      await engine.close();
      await stop();
    },
  });
}

/** The password of the database of state, which errors of its driver could hold. */
function passwordOf({ stateUrl }: Settings): readonly string[] {
  if (stateUrl === "") return [];
  const { password, searchParams } = new URL(stateUrl);
  return [password, decodeURIComponent(password), searchParams.get("password") ?? ""].filter((one) => one !== "");
}

async function version(): Promise<string> {
  const { version: found } = JSON.parse(await readFile(new URL("../../package.json", import.meta.url), "utf8")) as {
    version: string;
  };
  return found;
}
