import { setTimeout as pause } from "node:timers/promises";
import { isObject } from "../engine/core/json-object.ts";

/** An answer in JSON that a Pursuit server gave. */
export interface ServerAnswer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

/** What a failed connection means, by the code of the system, of OpenSSL or of undici. */
const CONNECTION_FAULTS: readonly (readonly [codes: RegExp, said: (url: URL) => string])[] = [
  [
    /^ECONNREFUSED$/,
    ({ host }) => `nothing listens at ${host}. Start a server there ("pursuit serve"), or give its address with --url.`,
  ],
  [
    /^(?:ENOTFOUND|EAI_AGAIN|EAI_FAIL)$/,
    ({ hostname }) => `the name ${hostname} is not known. Check the host in --url.`,
  ],
  [
    /^(?:EHOSTUNREACH|ENETUNREACH|ETIMEDOUT|UND_ERR_CONNECT_TIMEOUT)$/,
    ({ host }) => `${host} cannot be reached from here. Check the host and port in --url, and the network.`,
  ],
  [
    /^(?:ERR_SSL_(?:WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|HTTP_REQUEST)|EPROTO)$/,
    ({ host }) => `${host} does not speak TLS. If it is a plain HTTP server, begin --url with http://.`,
  ],
  [
    /CERT|SIGNATURE|ERR_TLS/,
    ({ host }) =>
      `the certificate of ${host} is not trusted. Name your authority's in NODE_EXTRA_CA_CERTS=<file.pem>, or mend the host in --url.`,
  ],
  [
    /^(?:HPE_|UND_ERR_SOCKET|ECONNRESET|EPIPE)/,
    ({ host, protocol }) =>
      protocol === "http:"
        ? `${host} closed the connection without an HTTP answer. If it speaks TLS, begin --url with https://.`
        : `${host} closed the connection without an HTTP answer. Check the port in --url.`,
  ],
  [/^UND_ERR_(?:HEADERS|BODY)_TIMEOUT$/, ({ host }) => `${host} took the request and gave no answer in five minutes.`],
];

/** Milliseconds that one request may wait in all while the server is busy or loads the dictionary. */
const PATIENCE = 600_000;

/**
 * A running server by its base address. The key goes to that address and nowhere else: redirects are not followed. A
 * refusal that says when to come back (429, 503) is waited out. Faults name what to do.
 */
export class ServerClient {
  /** As the user wrote it, without a slash at the end. */
  readonly address: string;
  readonly #base: URL;
  readonly #key: string | undefined;

  /**
   * @param address value of --url: scheme, host, and the path under which a proxy serves Pursuit, if any
   * @param key sent as a bearer token, where there is one
   * @throws Error that says what is wrong with the address
   */
  constructor(address: string, key?: string) {
    this.#base = parseAddress(address);
    this.address = this.#base.href.replace(/\/$/, "");
    this.#key = key;
  }

  get(path: string): Promise<ServerAnswer> {
    return this.#ask(path, { method: "GET" });
  }

  post(path: string, body: object): Promise<ServerAnswer> {
    return this.#ask(path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
  }

  async #ask(path: string, init: { method: string; headers?: Record<string, string>; body?: string }) {
    const url = new URL(path.replace(/^\//, ""), this.#base);
    const headers = {
      accept: "application/json",
      ...init.headers,
      ...(this.#key !== undefined && { authorization: `Bearer ${this.#key}` }),
    };
    const until = performance.now() + PATIENCE;
    for (;;) {
      // A redirect may lead to another host, or to plain HTTP: fetch would send the body there, and some clients the key.
      const answer = await fetch(url, { ...init, headers, redirect: "manual" }).catch((error: unknown) => {
        throw new Error(connectionFault(url, error), { cause: error });
      });
      const wait = askedWait(answer);
      if (wait === null || performance.now() + wait > until) return this.#read(url, answer);
      await answer.body?.cancel();
      await pause(wait);
    }
  }

  async #read(url: URL, answer: Response): Promise<ServerAnswer> {
    const { status, headers } = answer;
    const text = await answer.text().catch((error: unknown) => {
      throw new Error(connectionFault(url, error), { cause: error });
    });
    if (status >= 300 && status < 400) {
      const to = headers.get("location") ?? "nowhere";
      throw new Error(`${url.href} answers ${status}, a redirect to ${to}. If that is the server, give it with --url.`);
    }
    const body = parseObject(text);
    const { code = "", detail } = (body ?? {}) as { readonly code?: unknown; readonly detail?: unknown };
    if (body === null || !(answer.ok || isPursuitCode(code))) {
      const type = headers.get("content-type") ?? "no content type";
      const why =
        status === 401 || status === 403
          ? "A proxy before it may ask for credentials, which this command does not send."
          : `Does --url end in the path under which Pursuit is served? It is ${this.address}.`;
      throw new Error(`${url.href} answers ${status} (${type}), which is not an answer of Pursuit. ${why}`);
    }
    if (answer.ok) return { status, body };
    const said = typeof detail === "string" ? detail : "it gives no reason.";
    throw new Error(`${url.href} answers ${status}: ${said}${this.#advice(code)}`);
  }

  #advice(code: unknown): string {
    switch (code) {
      case "PURSUIT_UNAUTHORIZED":
        return this.#key === undefined
          ? " Set PURSUIT_API_KEYS to a key of that server."
          : " The first key of PURSUIT_API_KEYS was sent; it must be one of that server's.";
      case "PURSUIT_DICTIONARY_NOT_FOUND":
        return " One imported since the server started is loaded by POST /v2/repository/models/<id>/load.";
      case "PURSUIT_ROUTE_NOT_FOUND":
        return ` Does --url end in the path under which Pursuit is served? It is ${this.address}.`;
      default:
        return "";
    }
  }
}

/** Milliseconds after which a refused request may be sent again, by `retry-after-ms` or `retry-after`; null for none. */
function askedWait({ status, headers }: Response): number | null {
  if (status !== 429 && status !== 503) return null;
  const [milliseconds, seconds] = [headers.get("retry-after-ms"), headers.get("retry-after")];
  const wait = milliseconds !== null ? Number(milliseconds) : seconds !== null ? Number(seconds) * 1000 : Number.NaN;
  return wait >= 0 ? wait : null;
}

/** @throws Error that names the fault without showing a password */
function parseAddress(address: string): URL {
  const like = "one looks like http://127.0.0.1:8080, or https://example.com/pursuit behind a proxy.";
  if (!/^[a-z][a-z0-9+.-]*:\/\//i.test(address)) {
    throw new Error(`--url ${hidden(address)} has no scheme: write http:// or https:// before it; ${like}`);
  }
  if (!URL.canParse(address)) throw new Error(`--url ${hidden(address)} is no address; ${like}`);
  const url = new URL(address);
  if (url.protocol !== "http:" && url.protocol !== "https:") {
    throw new Error(`--url ${hidden(address)}: Pursuit is reached by http:// or https://, not by ${url.protocol}//.`);
  }
  if (url.username !== "" || url.password !== "") {
    throw new Error(
      `--url holds a user name or a password: ${hidden(address)}. Take it out; a key goes into PURSUIT_API_KEYS.`,
    );
  }
  if (url.search !== "" || url.hash !== "") {
    throw new Error(`--url ${hidden(address)}: leave out what follows ${url.search === "" ? "#" : "?"}.`);
  }
  const route = /\/v[12](?:\/(?:dictionaries|models|repository|health)\b.*)?\/*$/.exec(url.pathname)?.[0];
  if (route !== undefined) {
    throw new Error(`--url ${hidden(address)}: give the server's base address, without ${route}.`);
  }
  url.pathname = `${url.pathname.replace(/\/+$/, "")}/`;
  return url;
}

/** An address without what may be a secret. */
const hidden = (address: string): string =>
  address.replace(/(^|\/\/)[^/@]*@/, "$1***@").replace(/[?#].*$/s, (rest) => `${rest[0]}…`);

function connectionFault(url: URL, error: unknown): string {
  const cause = (error as { readonly cause?: NodeJS.ErrnoException }).cause;
  // Of several addresses of one name the first one's fault.
  const first = cause instanceof AggregateError ? (cause.errors[0] as NodeJS.ErrnoException) : cause;
  const code = first?.code ?? "";
  const said = CONNECTION_FAULTS.find(([codes]) => codes.test(code))?.[1](url);
  const reason = first?.message ?? (error instanceof Error ? error.message : String(error));
  return `No answer from ${url.origin}: ${said ?? `${reason}.`}${code === "" ? "" : ` (${code})`}`;
}

const isPursuitCode = (code: unknown): code is string => typeof code === "string" && code.startsWith("PURSUIT_");

function parseObject(text: string): Record<string, unknown> | null {
  try {
    const body: unknown = JSON.parse(text);
    return isObject(body) ? body : null;
  } catch {
    return null;
  }
}
