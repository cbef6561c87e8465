import { downloadFile, listFiles, modelInfo, pathsInfo } from "@huggingface/hub";
import type { HubSettings } from "./hub-settings.ts";

/** A file of a repository, and the digest that its bytes must have. */
export interface HubFile {
  /** In the repository. */
  readonly path: string;
  readonly size: number;
  /** Hex: SHA-256 of the bytes, or Git's SHA-1 of a small file. The cache names the file by it. */
  readonly digest: string;
  readonly algorithm: "sha256" | "git-sha1";
}

/** The reason why a hub gave no answer that can be used: what, where, what to do. */
export class HubFault extends Error {
  override readonly name = "HubFault";
  /** Whether the same request may succeed a moment later. */
  readonly retry: boolean;
  /** Whether the server does not continue files in the middle. */
  readonly rangeRefused: boolean;

  constructor(message: string, { retry = false, rangeRefused = false } = {}) {
    super(message);
    this.retry = retry;
    this.rangeRefused = rangeRefused;
  }
}

/** Attempts of a small request; pauses double from the first on. */
const ATTEMPTS = 4;
const FIRST_PAUSE_MS = 100;

const COMMIT = /^[0-9a-f]{40}$/;
const DIGESTS = { sha256: /^[0-9a-f]{64}$/, "git-sha1": /^[0-9a-f]{40}$/ } as const;

/** A Hugging Face hub: model repositories only. The token goes to the endpoint's own origin and nowhere else. */
export class Hub {
  readonly #settings: HubSettings;
  /** The latest failure of a download: the client's streams pass on its text only. */
  #failure: HubFault | null = null;

  constructor(settings: HubSettings) {
    this.#settings = settings;
  }

  /** The commit that a branch, tag or commit of a repository stands for. @throws HubFault */
  async commitOf(repo: string, revision: string): Promise<string> {
    const { sha } = await this.#retried((fetch) =>
      modelInfo({ name: repo, revision, additionalFields: ["sha"], hubUrl: this.#settings.endpoint, fetch }),
    );
    if (COMMIT.test(sha)) return sha;
    throw new HubFault(`${this.#settings.endpoint} names no commit for ${repo}@${revision}. Is HF_ENDPOINT a hub?`);
  }

  /** Those of the paths that are files of the repository. @throws HubFault */
  async filesOf(repo: string, commit: string, paths: readonly string[]): Promise<readonly HubFile[]> {
    const infos = await this.#retried((fetch) =>
      pathsInfo({ repo, revision: commit, paths: [...paths], hubUrl: this.#settings.endpoint, fetch }),
    );
    return infos
      .filter(({ type, path }) => type === "file" && paths.includes(path))
      .map(({ path, size, oid, lfs }) => {
        const algorithm = lfs ? "sha256" : "git-sha1";
        const digest = lfs?.oid ?? oid ?? "";
        // It becomes a file's name in the cache.
        if (!DIGESTS[algorithm].test(digest) || !Number.isSafeInteger(size) || size < 0) {
          throw new HubFault(
            `${this.#settings.endpoint} gives no digest and size of ${repo}/${path} that can be checked.`,
          );
        }
        return { path, size: lfs?.size ?? size, digest, algorithm };
      });
  }

  /** Files and folders in a folder of a repository, "" for its root. @throws HubFault */
  async list(repo: string, commit: string, folder: string) {
    return this.#retried(async (fetch) => {
      const found: { readonly path: string; readonly type: string }[] = [];
      const { endpoint: hubUrl } = this.#settings;
      for await (const { path, type } of listFiles({ repo, revision: commit, path: folder, hubUrl, fetch })) {
        found.push({ path, type });
      }
      return found;
    });
  }

  /**
   * The bytes of a file from one on.
   * @param signal ends the transfer
   * @throws HubFault, also while the bytes are read: see {@link Hub.faultOf}
   */
  async read(repo: string, commit: string, { path, size, digest }: HubFile, from: number, signal: AbortSignal) {
    const { endpoint } = this.#settings;
    const place = path.split("/").map(encodeURIComponent).join("/");
    const url = `${endpoint}/${repo}/resolve/${commit}/${place}`;
    this.#failure = null;
    const blob = await downloadFile({
      repo,
      path,
      revision: commit,
      hubUrl: endpoint,
      fetch: (input, init) => this.#fetch(input, { ...init, signal }),
      // What it would ask first is known already.
      downloadInfo: { size, etag: digest, url },
      xet: false,
    });
    return blob!.slice(from, size).stream();
  }

  /** A failure of reading, as a sentence. */
  faultOf(error: unknown): HubFault {
    if (error instanceof HubFault) return error;
    return this.#failure ?? connectionFault(new URL(this.#settings.endpoint), error);
  }

  async #retried<T>(ask: (fetch: typeof globalThis.fetch) => Promise<T>): Promise<T> {
    const { timeoutMs } = this.#settings;
    for (let attempt = 1; ; attempt++) {
      const signal = AbortSignal.timeout(timeoutMs);
      try {
        return await ask((input, init) => this.#fetch(input, { ...init, signal }));
      } catch (error) {
        const fault = this.faultOf(error);
        if (!fault.retry || attempt === ATTEMPTS) throw fault;
        await pause(attempt);
      }
    }
  }

  /** As fetch does, with the token where it belongs; every answer but a good one is a HubFault. */
  async #fetch(input: Parameters<typeof fetch>[0], init: RequestInit): Promise<Response> {
    const { endpoint, token } = this.#settings;
    const url = new URL(input instanceof Request ? input.url : input);
    const headers = new Headers(init.headers);
    // A redirect to another origin loses it: fetch drops the header there.
    if (token !== undefined && url.origin === new URL(endpoint).origin) headers.set("authorization", `Bearer ${token}`);
    try {
      const response = await fetch(url, { ...init, headers });
      if (!response.ok) throw await this.#refusal(response, url);
      const from = /^bytes=(\d+)-/.exec(headers.get("range") ?? "")?.[1];
      if (from !== undefined && !(response.headers.get("content-range") ?? "").startsWith(`bytes ${from}-`)) {
        await response.body?.cancel();
        throw new HubFault(`${url.host} does not continue files.`, { retry: true, rangeRefused: true });
      }
      return response;
    } catch (error) {
      this.#failure = error instanceof HubFault ? error : connectionFault(url, error);
      throw this.#failure;
    }
  }

  async #refusal(response: Response, asked: URL): Promise<HubFault> {
    const { status, headers } = response;
    await response.body?.cancel();
    if (status === 416)
      return new HubFault("the partial file is longer than the hub's.", { retry: true, rangeRefused: true });
    const { endpoint, token } = this.#settings;
    const code = headers.get("x-error-code") ?? "";
    const repo = /^(?:\/api\/models)?\/([^/]+\/[^/]+)/.exec(asked.href.slice(endpoint.length))?.[1] ?? "the repository";
    const place = `${endpoint}/${repo}`;
    if (code === "GatedRepo") {
      return new HubFault(
        token === undefined
          ? `${repo} is gated. Sign in and accept its terms at ${place}, make a read token at ${endpoint}/settings/tokens, and set HF_TOKEN to it.`
          : `${repo} is gated, and the token in HF_TOKEN has no access to it. Accept its terms at ${place} with that token's account.`,
      );
    }
    if (code === "RevisionNotFound")
      return new HubFault(`${repo} has no such revision. ${place} lists its branches and tags.`);
    if (code === "EntryNotFound")
      return new HubFault(`${repo} holds no such file. ${place}/tree/main lists its files.`);
    if (status === 401 || status === 403) {
      return new HubFault(
        token === undefined
          ? `${repo} does not exist, or is private (${status}). Check the name; for a private one set HF_TOKEN to a token that may read it.`
          : `The token in HF_TOKEN is not accepted for ${repo} (${status}). Make one that may read it at ${endpoint}/settings/tokens.`,
      );
    }
    if (status === 404)
      return new HubFault(`${place} is not there (404). Check the name of the repository and HF_ENDPOINT.`);
    if (status === 429) {
      return new HubFault(
        `${new URL(response.url || asked).host} limits the rate of requests (429). Wait, or set HF_TOKEN.`,
        { retry: true },
      );
    }
    return new HubFault(`${new URL(response.url || asked).host} answers ${status}.`, { retry: status >= 500 });
  }
}

/** Waits before attempt n + 1. */
export const pause = (attempt: number): Promise<void> =>
  new Promise((resolve) => void setTimeout(resolve, FIRST_PAUSE_MS * 2 ** (attempt - 1)));

/** Faults of a connection by their codes, the more particular first. */
const CONNECTION_FAULTS: readonly (readonly [RegExp, string])[] = [
  [/^ECONNREFUSED$/, "nothing listens there"],
  [/^(?:ENOTFOUND|EAI_AGAIN|EAI_FAIL)$/, "the name is not known"],
  [/^(?:EHOSTUNREACH|ENETUNREACH|ETIMEDOUT|UND_ERR_CONNECT_TIMEOUT)$/, "it cannot be reached from here"],
  [
    /CERT|SIGNATURE|ERR_TLS|ERR_SSL|EPROTO/,
    "its certificate is not trusted; NODE_EXTRA_CA_CERTS=<file.pem> names your authority's",
  ],
  [/^(?:TimeoutError|AbortError)$/, "it sent nothing for too long; HF_HUB_DOWNLOAD_TIMEOUT=<seconds> waits longer"],
];

function connectionFault(url: URL, error: unknown): HubFault {
  const { cause, name } = error as { readonly cause?: NodeJS.ErrnoException; readonly name?: string };
  const first = cause instanceof AggregateError ? (cause.errors[0] as NodeJS.ErrnoException) : cause;
  const code = first?.code ?? name ?? "";
  const why = CONNECTION_FAULTS.find(([codes]) => codes.test(code))?.[1] ?? "the connection broke";
  const permanent = /CERT|SIGNATURE|ERR_TLS|ERR_SSL|EPROTO/.test(code);
  return new HubFault(
    `No answer from ${url.origin}: ${why}${code === "" ? "" : ` (${code})`}. HF_ENDPOINT names another hub; HF_HUB_OFFLINE=1 uses the cache alone.`,
    { retry: !permanent },
  );
}
