import { availableParallelism } from "node:os";
import Type, { type Static, type TSchema } from "typebox";
import { Errors } from "typebox/schema";
import { PURSUIT_PATHS } from "../engine/core/dictionary.ts";
import { Fault } from "../engine/core/errors.ts";
import { READY_RULES } from "../engine/engine.ts";
import { machineMemory } from "./machine-memory.ts";

/** Adds a check that a schema cannot say. `fault` returns a sentence that tells what is allowed, or undefined. */
const checked = <T extends TSchema>(schema: T, fault: (value: Static<T>) => string | undefined) =>
  Type.Refine(
    schema,
    (value) => fault(value) === undefined,
    (value) => fault(value) ?? "",
  );

const text = (description: string, fallback: string) =>
  checked(Type.String({ description, default: fallback }), (value) => {
    if (value === "") return "must not be empty";
    if (/^(["']).*\1$/.test(value)) return "must not be in quotes";
    return /\p{Cc}/u.test(value) ? "must not hold control characters" : undefined;
  });

/** A text that may be left out. */
const optional = (description: string) => Type.String({ description, default: "" });

const integer = (
  description: string,
  fallback: number,
  minimum: number,
  maximum = Number.MAX_SAFE_INTEGER,
  words?: string,
) => Type.Integer({ description, default: fallback, minimum, maximum, ...(words !== undefined && { words }) });

const choice = <T extends string>(description: string, fallback: T, allowed: readonly T[]) =>
  Type.Enum(allowed as [T, ...T[]], { description, default: fallback });

/** A key shorter than this could be guessed. */
const SHORTEST_KEY = 16;

/** Separated by commas. RFC 6750, 2.1, says which characters a bearer token may have. */
const keys = (description: string) =>
  checked(Type.Array(Type.String(), { description, default: [], secret: true }), (value) => {
    for (const [i, key] of value.entries()) {
      const which = value.length === 1 ? "the key" : `key ${i + 1} of ${value.length}`;
      if (key.length < SHORTEST_KEY)
        return `must hold keys of ${SHORTEST_KEY} characters or more; ${which} has ${key.length}`;
      if (!/^[A-Za-z0-9._~+/-]+=*$/.test(key))
        return `must hold keys of letters, digits and ._~+/- only; ${which} has others`;
    }
    return undefined;
  });

/** Separated by commas, in lower case. `fault` returns undefined for each that is allowed. */
const list = (description: string, fault: (one: string) => string | undefined) =>
  checked(Type.Array(Type.String(), { description, default: [], lowerCase: true }), (value) => {
    for (const one of value) {
      const wrong = fault(one);
      if (wrong !== undefined) return `${wrong}; ${one === "" ? "one is empty" : `${one} is none`}`;
    }
    return undefined;
  });

/** As browsers write an origin: no path, no default port. Other schemes are those of browser extensions. */
const isOrigin = (given: string): boolean =>
  /^https?:/.test(given)
    ? !given.includes("*") && URL.canParse(given) && new URL(given).origin === given
    : /^[a-z][a-z\d+.-]*:\/\/[^\s/?#@]+$/.test(given);

const isHost = (given: string): boolean =>
  given === "*" || /^(?:\[[\da-f:.]+\]|[a-z\d_](?:[a-z\d._-]*[a-z\d_])?)(?::\d{1,5})?$/.test(given);

const isPostgres = (given: string): boolean =>
  URL.canParse(given) && /^postgres(?:ql)?:$/.test(new URL(given).protocol);

/** Where dictionaries are if nothing else is said. */
export const MODELS = "models";

const MiB = 2 ** 20;

/** The rest is for file pages, for bursts, and for what nobody foresaw. */
const MEMORY_LIMIT = Math.floor(0.75 * machineMemory());

/** Bodies have an eighth of the memory limit, 512 MiB at most, and always room for one of the largest beside small ones. */
const bytesInFlight = (memoryLimit: number, maxBody: number): number =>
  Math.max(Math.ceil((8 / 7) * maxBody), Math.min(512 * MiB, Math.floor(memoryLimit / 8)));

const unpacked = (memoryLimit: number): number => Math.min(512 * MiB, Math.floor(memoryLimit / 6));

const MAX_BODY = 64 * MiB;

/**
 * Every setting of the server, in the order of `pursuit serve --help`. A setting is a variable, a flag and a line of a
 * config file, all of one name: `maxBody` is `PURSUIT_MAX_BODY`, `--max-body` and `max-body:`.
 */
export const SETTINGS = Type.Object({
  host: text("address to listen on", "127.0.0.1"),
  port: integer("port to listen on; 0 takes a free one", 8080, 0, 65_535),
  socket: optional("Unix socket to listen on, too"),
  tlsCert: optional("file of the TLS certificate chain, PEM; reread when it changes"),
  tlsKey: optional("file of the key of the TLS certificate, PEM"),
  modelsDir: text("folder of dictionary folders", MODELS),
  cacheDir: text("folder for generated files; safe to delete", ".cache"),
  embedderDir: optional("folder of a sentence-embedding model for pursuit encode; without it the hub's cache"),
  stateDir: text("folder for saved steering sets and labels; use it for one server only", ".state"),
  stateUrl: checked(
    Type.String({
      description:
        "PostgreSQL for saved steering sets and labels, shared by replicas, as postgres://user@host/database",
      default: "",
      secret: true,
      words: "SQLite in the state folder",
    }),
    (value) =>
      value === "" || isPostgres(value) ? undefined : "must be an address such as postgres://user@host/database",
  ),
  stateLimit: integer("maximum bytes of all saved steering sets and labels", 256 * MiB, 4096),
  runtime: choice("runtime: auto uses CUDA if it works", "auto", ["auto", "cpu", "cuda"]),
  path: choice("path of the pursuit: auto chooses by size", "auto", ["auto", ...PURSUIT_PATHS]),
  memoryLimit: integer(
    "maximum bytes of memory of the server and its dictionaries",
    MEMORY_LIMIT,
    1,
    undefined,
    "three quarters of the machine's or container's memory",
  ),
  gramLimit: integer(
    "largest Gram matrix (4·m² bytes) that auto may build",
    MEMORY_LIMIT,
    0,
    undefined,
    "the memory limit",
  ),
  threads: integer("threads of one runtime process", availableParallelism(), 1, 1024, "the number of cores"),
  maxAtoms: integer("maximum selections of one row, if the dictionary sets no cap", 4096, 1, 65_536),
  maxRows: integer("maximum rows of one request", 16_384, 1),
  maxBody: integer("maximum bytes of one request body", MAX_BODY, 1024),
  maxUnpacked: integer(
    "maximum bytes of memory for parsing one body",
    unpacked(MEMORY_LIMIT),
    1024,
    undefined,
    "a sixth of the memory limit, at most 512 MiB",
  ),
  maxBytesInFlight: integer(
    "maximum bytes of all request bodies, counted as they arrive; an eighth is reserved for small ones",
    bytesInFlight(MEMORY_LIMIT, MAX_BODY),
    1024,
    undefined,
    "an eighth of the memory limit, at most 512 MiB",
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
  readyWaitMs: integer(
    "predicted wait in milliseconds above which the server is not ready, so that a load balancer turns away; 0: never",
    0,
    0,
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
});

export type Settings = Readonly<Static<typeof SETTINGS>>;
export type SettingName = keyof Settings;

export const SETTING_NAMES = Object.keys(SETTINGS.properties) as readonly SettingName[];

/** What is said of one setting beside its type. */
interface Described {
  readonly type?: string;
  readonly enum?: readonly string[];
  readonly description: string;
  readonly default: unknown;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly secret?: boolean;
  readonly lowerCase?: boolean;
  /** The default in words, where it depends on the machine or on other settings. */
  readonly words?: string;
}

export const describeSetting = (name: SettingName): Described => SETTINGS.properties[name] as unknown as Described;

/** Defaults that follow from other settings. */
const DERIVED: { readonly [K in SettingName]?: (settings: Settings) => Settings[K] } = {
  gramLimit: ({ memoryLimit }) => memoryLimit,
  maxUnpacked: ({ memoryLimit }) => unpacked(memoryLimit),
  maxBytesInFlight: ({ memoryLimit, maxBody }) => bytesInFlight(memoryLimit, maxBody),
};

const words = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** Variable of the config file, which is no setting: a file does not name another. */
export const CONFIG_VARIABLE = "PURSUIT_CONFIG";

/** `maxBody` → `PURSUIT_MAX_BODY` */
export const variableOf = (name: SettingName): string => `PURSUIT_${words(name).toUpperCase()}`;

/** `maxBody` → `--max-body` */
export const flagOf = (name: SettingName): string => `--${words(name).replaceAll("_", "-")}`;

/** Settings whose values are never printed and never handed on. */
export const SECRET_SETTINGS: readonly SettingName[] = SETTING_NAMES.filter(
  (name) => describeSetting(name).secret === true,
);

/** A value as it was given: text, or a value of a config file. `where` names it in errors: `PURSUIT_PORT`, `--port`. */
export interface Given {
  readonly value: unknown;
  readonly where: string;
}

export type GivenSettings = { readonly [K in SettingName]?: Given };

/**
 * Checks settings and adds defaults.
 * @param others faults found while reading them
 * @throws Fault with all faults
 */
export function resolveSettings(given: GivenSettings = {}, others: readonly string[] = []): Settings {
  const values: Record<string, unknown> = {};
  for (const name of SETTING_NAMES) {
    const described = describeSetting(name);
    const one = given[name];
    values[name] = one === undefined ? described.default : convert(asText(one.value), described);
  }
  const [, errors] = Errors(SETTINGS, values);
  const faults = new Map<string, string>();
  for (const { instancePath, message } of errors) {
    const name = instancePath.split("/")[1] as SettingName;
    const { value, where } = given[name]!;
    const shown = describeSetting(name).secret ? "" : `=${visible(asText(value))}`;
    const sentence = `${where}${shown} ${ruleOf(name) ?? message}.${hint(asText(value))}`;
    if (!faults.has(name)) faults.set(name, sentence);
  }
  if (faults.size + others.length > 0) throw new Fault("settings", [...others, ...faults.values()]);
  for (const name of SETTING_NAMES)
    if (given[name] === undefined) values[name] = DERIVED[name]?.(values as Settings) ?? values[name];
  return values as Settings;
}

/** What a value may be, where the schema alone says it. */
function ruleOf(name: SettingName): string | undefined {
  const { type, minimum, maximum, enum: values } = describeSetting(name);
  if (values !== undefined) return `must be one of ${values.join(", ")}`;
  return type === "integer" ? `must be an integer from ${minimum} to ${maximum}` : undefined;
}

/** A value of a config file as a flag would have it. */
export function asText(value: unknown): string {
  // An --env-file with Windows line endings leaves a carriage return at the end of every value.
  if (typeof value === "string") return value.replace(/\r$/, "");
  return Array.isArray(value) ? value.map(asText).join(",") : (JSON.stringify(value) ?? "");
}

function convert(given: string, { type, lowerCase = false }: Described): unknown {
  if (type === "integer") return /^\d+$/.test(given) ? Number(given) : given;
  if (type !== "array") return given;
  return given.split(",").map((one) => (lowerCase ? one.trim().toLowerCase() : one.trim()));
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
  const known = new Set([CONFIG_VARIABLE, ...SETTING_NAMES.map(variableOf)]);
  return Object.keys(environment).filter((name) => name.startsWith("PURSUIT_") && !known.has(name));
}
