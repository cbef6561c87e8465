/** Requests to the server that the page came from, with the person's key, and its problems as errors. */
import { signal } from "@preact/signals";

/** A refusal of the server, or no answer at all. */
export class Problem extends Error {
  /** HTTP status; 0 where the server could not be reached. */
  readonly status: number;
  /** `PURSUIT_…`, or UNREACHABLE. */
  readonly code: string;
  readonly requestId: string | undefined;

  constructor(status: number, code: string, detail: string, requestId?: string) {
    super(detail);
    this.status = status;
    this.code = code;
    this.requestId = requestId;
  }
}

const STORED_KEY = "pursuit-key";

/** The API key. It lives as long as the tab does. */
export const apiKey = signal(sessionStorage.getItem(STORED_KEY) ?? "");
/** Why the page asks for a key; null: it does not. */
export const keyWanted = signal<string | null>(null);

export function setKey(key: string): void {
  if (key === "") sessionStorage.removeItem(STORED_KEY);
  else sessionStorage.setItem(STORED_KEY, key);
  keyWanted.value = null;
  apiKey.value = key;
}

/** Address of the server, with the path of a proxy before it; ends in a slash. */
export const SERVER = new URL(".", document.baseURI).href.replace(/[?#].*$/, "");

export interface Ask {
  readonly method?: "GET" | "POST" | "PUT" | "DELETE";
  /** Sent as JSON. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

async function send(path: string, { method = "GET", body, headers, signal: aborted }: Ask): Promise<Response> {
  const key = apiKey.peek();
  let answer: Response;
  try {
    answer = await fetch(SERVER + path, {
      method,
      headers: {
        ...headers,
        ...(body !== undefined && { "content-type": "application/json" }),
        ...(key !== "" && { authorization: `Bearer ${key}` }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      ...(aborted && { signal: aborted }),
    });
  } catch (error) {
    if (aborted?.aborted) throw error;
    throw new Problem(
      0,
      "UNREACHABLE",
      `The server at ${SERVER} does not answer. Start it again, or check the network.`,
    );
  }
  if (answer.ok) return answer;
  const problem = await problemOf(answer);
  if (problem.status === 401)
    keyWanted.value = key === "" ? "This server requires a key." : "The server does not know this key.";
  throw problem;
}

async function problemOf(answer: Response): Promise<Problem> {
  const text = await answer.text();
  try {
    const {
      code,
      detail,
      request_id: id,
    } = JSON.parse(text) as { code?: string; detail?: string; request_id?: string };
    if (detail !== undefined) return new Problem(answer.status, code ?? "", detail, id);
  } catch {
    // Not one of the server's own answers: a proxy's page, for instance.
  }
  return new Problem(
    answer.status,
    "",
    `The server answered ${answer.status} ${answer.statusText}: ${text.slice(0, 200)}`,
  );
}

/** A JSON answer. @throws Problem */
export async function ask<T>(path: string, options: Ask = {}): Promise<T> {
  const answer = await send(path, options);
  return (answer.status === 204 ? undefined : await answer.json()) as T;
}

/** @throws Problem */
export const askText = async (path: string, options: Ask = {}): Promise<string> => (await send(path, options)).text();

/** @throws Problem */
export const askBytes = async (path: string, options: Ask = {}): Promise<ArrayBuffer> =>
  (await send(path, options)).arrayBuffer();

/** `v1/dictionaries/{id}/rest`. */
export const dictionaryPath = (id: string, rest = ""): string => `v1/dictionaries/${encodeURIComponent(id)}${rest}`;
