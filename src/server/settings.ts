import { availableParallelism } from "node:os";
import { PURSUIT_PATHS } from "../engine/core/dictionary.ts";
import { Fault } from "../engine/core/errors.ts";
import { READY_RULES } from "../engine/engine.ts";
import { machineMemory } from "./machine-memory.ts";

/** One setting: an environment variable `PURSUIT_…` and a flag of the same name. */
interface Setting<T> {
  readonly describe: string;
  readonly fallback: T;
  /** @returns the value, or a sentence that says what is allowed. */
  readonly parse: (text: string) => { readonly value: T } | { readonly fault: string };
}

const text = (describe: string, fallback: string): Setting<string> => ({
  describe,
  fallback,
  parse: (value) => {
    if (value === "") return { fault: "must not be empty" };
    if (/^(["']).*\1$/.test(value)) return { fault: "must not be in quotes" };
    return /\p{Cc}/u.test(value) ? { fault: "must not hold control characters" } : { value };
  },
});

const integer = (describe: string, fallback: number, min: number, max = Number.MAX_SAFE_INTEGER): Setting<number> => ({
  describe,
  fallback,
  parse: (given) => {
    const value = /^\d+$/.test(given) ? Number(given) : Number.NaN;
    return value >= min && value <= max ? { value } : { fault: `must be an integer from ${min} to ${max}` };
  },
});

const choice = <T extends string>(describe: string, fallback: T, allowed: readonly T[]): Setting<T> => ({
  describe,
  fallback,
  parse: (given) => {
    const value = allowed.find((one) => one === given);
    return value === undefined ? { fault: `must be one of ${allowed.join(", ")}` } : { value };
  },
});

/** A key shorter than this could be guessed. */
const SHORTEST_KEY = 16;

/** Comma-separated. What a bearer token may be made of is said by RFC 6750, 2.1. */
const keys = (describe: string): Setting<readonly string[]> => ({
  describe,
  fallback: [],
  parse: (given) => {
    const value = given.split(",").map((key) => key.trim());
    for (const [i, key] of value.entries()) {
      const which = value.length === 1 ? "the key" : `key ${i + 1} of ${value.length}`;
      if (key.length < SHORTEST_KEY)
        return { fault: `must hold keys of ${SHORTEST_KEY} characters or more; ${which} has ${key.length}` };
      if (!/^[A-Za-z0-9._~+/-]+=*$/.test(key))
        return { fault: `must hold keys of letters, digits and ._~+/- only; ${which} has others` };
    }
    return { value };
  },
});

/** Comma-separated texts, each of which `fault` accepts (undefined) or says why not. */
const list = (describe: string, fault: (one: string) => string | undefined): Setting<readonly string[]> => ({
  describe,
  fallback: [],
  parse: (given) => {
    const value = given.split(",").map((one) => one.trim().toLowerCase());
    for (const one of value) {
      const wrong = fault(one);
      if (wrong !== undefined) return { fault: `${wrong}; ${one === "" ? "one is empty" : `${one} is none`}` };
    }
    return { value };
  },
});

/** As browsers write an origin: no path, no default port. Other schemes are those of browser extensions. */
const isOrigin = (given: string): boolean =>
  /^https?:/.test(given)
    ? !given.includes("*") && URL.canParse(given) && new URL(given).origin === given
    : /^[a-z][a-z\d+.-]*:\/\/[^\s/?#@]+$/.test(given);

const isHost = (given: string): boolean =>
  given === "*" || /^(?:\[[\da-f:.]+\]|[a-z\d_](?:[a-z\d._-]*[a-z\d_])?)(?::\d{1,5})?$/.test(given);

const MiB = 2 ** 20;

/** Bytes that this process may use: the machine's, or its container's where that has less. */
const memory = (): number => machineMemory();

/** The rest is for file pages, for bursts, and for what nobody foresaw. */
const MEMORY_LIMIT = Math.floor(0.75 * memory());

/** Bodies have an eighth of the memory limit, 512 MiB at most, and always room for one of the largest beside small ones. */
const bytesInFlight = (memoryLimit: number, maxBody: number): number =>
  Math.max(Math.ceil((8 / 7) * maxBody), Math.min(512 * MiB, Math.floor(memoryLimit / 8)));

const unpacked = (memoryLimit: number): number => Math.min(512 * MiB, Math.floor(memoryLimit / 6));

const MAX_BODY = 64 * MiB;

/** Every setting of the server, in the order in which `pursuit serve --help` shows them. */
export const SETTINGS = {
  host: text("address to listen on", "127.0.0.1"),
  port: integer("port to listen on; 0 takes a free one", 8080, 0, 65_535),
  modelsDir: text("folder of dictionary folders", "models"),
  cacheDir: text("folder for generated files; safe to delete", ".cache"),
  stateDir: text("folder for saved steering sets; use it for one server only", ".state"),
  stateLimit: integer("maximum bytes of all saved steering sets", 256 * MiB, 4096),
  runtime: choice("runtime: auto uses CUDA if it works", "auto", ["auto", "cpu", "cuda"]),
  path: choice("path of the pursuit: auto chooses by size", "auto", ["auto", ...PURSUIT_PATHS]),
  memoryLimit: integer(
    "maximum bytes of memory of the server and its dictionaries; default: three quarters of the machine's or container's",
    MEMORY_LIMIT,
    1,
  ),
  gramLimit: integer(
    "largest Gram matrix (4·m² bytes) that auto may build; default: limited by the memory limit only",
    MEMORY_LIMIT,
    0,
  ),
  threads: integer("threads of one runtime process", availableParallelism(), 1, 1024),
  maxAtoms: integer("maximum selections of one row, if the dictionary sets no cap", 4096, 1, 65_536),
  maxRows: integer("maximum rows of one request", 16_384, 1),
  maxBody: integer("maximum bytes of one request body", MAX_BODY, 1024),
  maxUnpacked: integer(
    "maximum bytes of memory for parsing one body; default: a sixth of the memory limit, at most 512 MiB",
    unpacked(MEMORY_LIMIT),
    1024,
  ),
  maxBytesInFlight: integer(
    "maximum bytes of all request bodies, counted as they arrive; an eighth is reserved for small ones; default: an eighth of the memory limit, at most 512 MiB",
    bytesInFlight(MEMORY_LIMIT, MAX_BODY),
    1024,
  ),
  maxAnswer: integer("maximum bytes of one answer", 256 * MiB, 1024),
  maxUnread: integer("maximum bytes of all answers that clients have not read", 512 * MiB, 1024),
  streamBuffer: integer("maximum bytes of unread answers of one stream of lines", 64 * MiB, 1024),
  compressFrom: integer(
    "minimum bytes of an answer to compress if the client accepts it, on /v1 text only; 0: never",
    16_384,
    0,
  ),
  batchMs: integer("milliseconds of predicted work in one batch", 10, 1, 10_000),
  maxWaitMs: integer(
    "maximum wait in the queue in milliseconds; longer predicted waits are refused with 429",
    10_000,
    1,
  ),
  maxQueueRows: integer("maximum rows waiting for one dictionary", 262_144, 1),
  degradeMs: integer('predicted wait in milliseconds above which on_overload "degrade" shortens rows', 100, 1),
  maxConnections: integer("maximum open connections, within the limit on open files", 4096, 1),
  stallMs: integer("milliseconds after which a client that sends or reads too slowly is disconnected", 10_000, 1),
  minRate: integer(
    "minimum bytes a second that a client must send or read; 0: one byte within the stall time",
    1024,
    0,
  ),
  watchdogFactor: integer("a batch counts as hung after this many times its predicted time", 50, 2),
  watchdogMs: integer("but never before this many milliseconds", 30_000, 100),
  loadTimeoutMs: integer("maximum milliseconds to load one dictionary", 600_000, 100),
  load: choice(
    "eager: load every dictionary at start; lazy: load each at its first request, and unload the least recently used for room",
    "eager",
    ["eager", "lazy"],
  ),
  ready: choice(
    "readiness: all needs every dictionary of the start and of later loads, any needs one",
    "all",
    READY_RULES,
  ),
  drainMs: integer(
    "delay between failing readiness and refusing connections on shutdown, in milliseconds",
    0,
    0,
    600_000,
  ),
  closeMs: integer("milliseconds after that to answer accepted requests; then the server ends", 30_000, 0, 86_400_000),
  logLevel: choice("least severe log line written", "info", ["trace", "debug", "info", "warn", "error", "fatal"]),
  apiKeys: keys("keys, separated by commas; every request except health and pages requires one"),
  adminKeys: keys("keys for management calls, separated by commas; valid for other calls too"),
  corsOrigins: list("origins of web pages that may use the server, separated by commas", (one) =>
    isOrigin(one) ? undefined : "must hold origins such as https://app.example.org, without a path",
  ),
  allowedHosts: list("host names that clients may use for the server, separated by commas; *: any", (one) =>
    isHost(one) ? undefined : "must hold hosts such as pursuit.example.org or pursuit:8080, or *",
  ),
  rateLimit: integer("maximum requests a minute of one key, or of one address without keys; 0: unlimited", 0, 0),
} as const;

export type SettingName = keyof typeof SETTINGS;

export type Settings = {
  readonly [K in SettingName]: (typeof SETTINGS)[K] extends Setting<infer T> ? T : never;
};

/** Defaults that follow from other settings. */
const DERIVED: { readonly [K in SettingName]?: (settings: Settings) => Settings[K] } = {
  gramLimit: ({ memoryLimit }) => memoryLimit,
  maxUnpacked: ({ memoryLimit }) => unpacked(memoryLimit),
  maxBytesInFlight: ({ memoryLimit, maxBody }) => bytesInFlight(memoryLimit, maxBody),
};

const words = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** `maxBody` → `PURSUIT_MAX_BODY` */
export const variableOf = (name: SettingName): string => `PURSUIT_${words(name).toUpperCase()}`;

/** `maxBody` → `--max-body` */
export const flagOf = (name: SettingName): string => `--${words(name).replaceAll("_", "-")}`;

/** Settings whose values are never printed and never handed on. */
export const SECRET_SETTINGS: readonly SettingName[] = ["apiKeys", "adminKeys"];

/**
 * Flags win over the environment, the environment over the defaults.
 * @throws Fault with all faults.
 */
export function resolveSettings(
  environment: Readonly<Record<string, string | undefined>>,
  flags: { readonly [K in SettingName]?: string } = {},
): Settings {
  const faults: string[] = [];
  const values: Partial<Record<SettingName, unknown>> = {};
  const unset: SettingName[] = [];
  for (const name of Object.keys(SETTINGS) as SettingName[]) {
    const setting: Setting<unknown> = SETTINGS[name];
    const variable = variableOf(name);
    // An --env-file with Windows line endings leaves a carriage return at the end of every value.
    const given = flags[name] ?? environment[variable]?.replace(/\r$/, "");
    if (given === undefined) {
      values[name] = setting.fallback;
      unset.push(name);
      continue;
    }
    const parsed = setting.parse(given);
    if ("value" in parsed) values[name] = parsed.value;
    else {
      const where = flags[name] === undefined ? variable : flagOf(name);
      const shown = SECRET_SETTINGS.includes(name) ? "" : `=${visible(given)}`;
      faults.push(`${where}${shown} ${parsed.fault}.${hint(given)}`);
    }
  }
  if (faults.length > 0) throw new Fault("settings", faults);
  for (const name of unset) values[name] = DERIVED[name]?.(values as Settings) ?? values[name];
  return values as Settings;
}

/** As it is, or quoted where it holds characters that would not show. */
const visible = (given: string): string => (/^[!-~]+$/.test(given) ? given : JSON.stringify(given));

function hint(given: string): string {
  // Kubernetes writes PURSUIT_PORT=tcp://… into pods beside a Service named "pursuit".
  if (given.startsWith("tcp://")) {
    return " Kubernetes sets this for a Service of that name; set enableServiceLinks: false in the pod.";
  }
  if (/^(["']).*\1$/.test(given)) return " The quotes are part of the value: docker's --env-file keeps them.";
  return "";
}

/** Variables that look like settings but are none: most likely misspelt. */
export function unknownVariables(environment: Readonly<Record<string, string | undefined>>): readonly string[] {
  const known = new Set((Object.keys(SETTINGS) as SettingName[]).map(variableOf));
  return Object.keys(environment).filter((name) => name.startsWith("PURSUIT_") && !known.has(name));
}
