import { PursuitError } from "./errors.ts";
import { retrying } from "./retry.ts";

export interface ClientOptions {
  /** Sent as `authorization: Bearer`. */
  readonly apiKey?: string;
  /** Milliseconds that a call waits in all for a server that is busy or away; 60,000 if not given, 0: it never waits. */
  readonly patience?: number;
  /** Instead of the platform's own. */
  readonly fetch?: typeof fetch;
}

export interface CallOptions {
  readonly signal?: AbortSignal;
}

export interface Call extends CallOptions {
  readonly method: "GET" | "POST" | "PUT" | "DELETE";
  /** Below the server's address, its parts encoded. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | undefined>>;
  /** Bytes and streams as they are, everything else as JSON. */
  readonly body?: unknown;
  readonly contentType?: string;
  readonly accept?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Whether it may be sent again where no answer came. */
  readonly repeatable?: boolean;
}

const isRaw = (body: unknown): body is Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array> =>
  body instanceof Uint8Array || body instanceof ReadableStream;

/** Sends calls to one server. */
export class Connection {
  readonly #base: string;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #patience: number;
  readonly #fetch: typeof fetch;

  constructor(url: string, { apiKey, patience = 60_000, fetch: given }: ClientOptions) {
    this.#base = url.replace(/\/+$/, "");
    this.#headers = apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` };
    this.#patience = patience;
    this.#fetch = given ?? ((...args) => fetch(...args));
  }

  /** @throws PursuitError for an answer that is not 2xx */
  async json<T>(call: Call): Promise<T> {
    return (await (await this.send(call)).json()) as T;
  }

  /** @throws PursuitError for an answer that is not 2xx */
  async bytes(call: Call): Promise<ArrayBuffer> {
    return (await this.send(call)).arrayBuffer();
  }

  /** @throws PursuitError for an answer that is not 2xx */
  async send(call: Call): Promise<Response> {
    const { method, path, query = {}, body, accept = "application/json", repeatable = true, signal } = call;
    const parameters = new URLSearchParams();
    for (const [name, value] of Object.entries(query)) if (value !== undefined) parameters.set(name, String(value));
    const search = parameters.size === 0 ? "" : `?${parameters.toString()}`;
    const init: RequestInit & { readonly duplex: "half" } = {
      method,
      headers: {
        accept,
        ...this.#headers,
        ...call.headers,
        ...(body !== undefined && { "content-type": call.contentType ?? "application/json" }),
      },
      ...(body !== undefined && { body: isRaw(body) ? body : JSON.stringify(body) }),
      // Of a stream; other bodies pass over it.
      duplex: "half",
      ...(signal && { signal }),
    };
    const once = (): Promise<Response> => this.#fetch(`${this.#base}${path}${search}`, init);
    // A stream can be read once only.
    const streamed = body instanceof ReadableStream;
    const answer = streamed ? await once() : await retrying(once, this.#patience, repeatable, signal);
    if (!answer.ok) throw await PursuitError.of(answer);
    return answer;
  }
}
