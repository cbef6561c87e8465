import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { type AddressInfo } from "node:net";
import { posix } from "node:path";
import { setImmediate } from "node:timers/promises";

/** Something that goes wrong once, the next time a file's content is asked for. */
export type Mishap =
  | { readonly kind: "cut"; readonly after: number }
  | { readonly kind: "stall"; readonly after: number }
  | { readonly kind: "drip"; readonly bytes: number }
  | { readonly kind: "no-range" }
  | { readonly kind: "corrupt" }
  | { readonly kind: "status"; readonly status: number };

interface Repository {
  readonly files: Readonly<Record<string, Uint8Array>>;
  /** The token that opens it; none: anybody. */
  readonly token?: string;
  readonly gated?: boolean;
  /** Sizes and digests announced in place of the true ones, by path. */
  readonly announced: Record<string, { readonly size?: number; readonly sha256?: string }>;
}

/** A request as it came: the origin it came to, and what it brought. */
export interface Asked {
  readonly to: "hub" | "cdn";
  readonly path: string;
  readonly authorization: string | undefined;
  readonly range: string | undefined;
}

/** Every commit of the stand-in: it has one state a repository. */
export const COMMIT = "0123456789abcdef0123456789abcdef01234567";

/**
 * A hub on loopback, as far as `pursuit pull` uses it: revisions, folders, facts of files, content. Settings are sent by the hub
 * itself, weights by a second origin to which it redirects, as the real one does.
 */
export class StandInHub {
  readonly asked: Asked[] = [];
  readonly #repositories = new Map<string, Repository>();
  readonly #mishaps = new Map<string, Mishap[]>();
  readonly #servers: Server[] = [];
  #cdn = "";
  endpoint = "";

  static async start(): Promise<StandInHub> {
    const hub = new StandInHub();
    hub.#cdn = await hub.#listen((request, response) => hub.#sendContent(request, response));
    hub.endpoint = await hub.#listen((request, response) => void hub.#answer(request, response));
    return hub;
  }

  async close(): Promise<void> {
    for (const server of this.#servers) {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  }

  /** Adds a repository, in place of one of that name. */
  add(
    name: string,
    files: Repository["files"],
    options: Partial<Pick<Repository, "token" | "gated" | "announced">> = {},
  ): void {
    this.#repositories.set(name, { announced: {}, ...options, files });
  }

  /** Mishaps of a file's next contents, one after the other. */
  mishap(path: string, ...mishaps: readonly Mishap[]): void {
    this.#mishaps.set(path, [...mishaps]);
  }

  async #listen(handler: (request: IncomingMessage, response: ServerResponse) => void): Promise<string> {
    const server = createServer(handler);
    this.#servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.#note("hub", request);
    const { pathname } = new URL(request.url!, this.endpoint);
    const [, repo = "", verb = "", revision = "", rest = ""] =
      /^\/(?:api\/models\/)?([^/]+\/[^/]+)\/(revision|tree|paths-info|resolve)\/([^/]+)(?:\/(.*))?$/.exec(pathname) ??
      [];
    const path = decodeURIComponent(rest);
    const repository = this.#repositories.get(repo);
    const token = request.headers.authorization?.replace("Bearer ", "");
    const refuse = (status: number, code: string): void => {
      response.writeHead(status, { "x-error-code": code, "content-type": "application/json" });
      response.end(JSON.stringify({ error: code }));
    };
    if (repository === undefined) return refuse(token === undefined ? 401 : 404, "RepoNotFound");
    if (repository.token !== undefined && repository.token !== token) {
      return refuse(token === undefined ? 401 : 403, repository.gated === true ? "GatedRepo" : "RepoNotFound");
    }
    if (!["main", "v1", COMMIT].includes(decodeURIComponent(revision))) return refuse(404, "RevisionNotFound");
    if (verb === "revision") return json(response, { _id: "1", id: repo, sha: COMMIT, private: false });
    if (verb === "tree") {
      const entries = this.#tree(repository, path);
      return entries.length === 0 ? refuse(404, "EntryNotFound") : json(response, entries);
    }
    if (verb === "paths-info") {
      const { paths } = JSON.parse(await textOf(request)) as { readonly paths: readonly string[] };
      return json(
        response,
        paths.filter((one) => one in repository.files).map((one) => facts(repository, one)),
      );
    }
    if (!(path in repository.files)) return refuse(404, "EntryNotFound");
    if (isLarge(path)) {
      response.writeHead(302, { location: `${this.#cdn}/${repo}/${path}` });
      response.end();
      return undefined;
    }
    return this.#send(request, response, path, repository.files[path]!);
  }

  #tree({ files }: Repository, folder: string): readonly { readonly type: string; readonly path: string }[] {
    const inside = Object.keys(files).filter((path) => folder === "" || path.startsWith(`${folder}/`));
    const names = new Set(inside.map((path) => posix.join(folder, posix.relative(folder, path).split("/")[0]!)));
    return [...names].map((path) => ({ type: path in files ? "file" : "directory", path, size: 0 }));
  }

  #sendContent(request: IncomingMessage, response: ServerResponse): void {
    this.#note("cdn", request);
    const [, repo = "", path = ""] = /^\/([^/]+\/[^/]+)\/(.*)$/.exec(decodeURIComponent(request.url!)) ?? [];
    this.#send(request, response, path, this.#repositories.get(repo)!.files[path]!);
  }

  #send(request: IncomingMessage, response: ServerResponse, path: string, bytes: Uint8Array): void {
    const mishap = this.#mishaps.get(path)?.shift();
    if (mishap?.kind === "status") {
      response.writeHead(mishap.status);
      response.end();
      return;
    }
    const asked = mishap?.kind === "no-range" ? undefined : /^bytes=(\d+)-/.exec(request.headers.range ?? "")?.[1];
    const from = Number(asked ?? 0);
    const content = Uint8Array.from(bytes.subarray(from));
    if (mishap?.kind === "corrupt") content[content.length - 1]! ^= 1;
    response.writeHead(asked === undefined ? 200 : 206, {
      "content-length": content.length,
      ...(asked !== undefined && { "content-range": `bytes ${from}-${bytes.length - 1}/${bytes.length}` }),
    });
    if (mishap?.kind === "cut") response.write(content.subarray(0, mishap.after), () => response.destroy());
    else if (mishap?.kind === "stall") response.write(content.subarray(0, mishap.after));
    else if (mishap?.kind === "drip") void drip(response, content, mishap.bytes);
    else response.end(content);
  }

  #note(to: Asked["to"], { url, headers: { authorization, range } }: IncomingMessage): void {
    this.asked.push({ to, path: url!, authorization, range });
  }
}

/** Weights are what the real hub keeps as large files. */
const isLarge = (path: string): boolean => !/\.(?:json|yaml)$/.test(path);

function facts({ files, announced }: Repository, path: string): object {
  const bytes = files[path]!;
  const { size = bytes.length, sha256 = createHash("sha256").update(bytes).digest("hex") } = announced[path] ?? {};
  const oid = createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex");
  const lfs = isLarge(path) ? { lfs: { oid: sha256, size, pointerSize: 130 } } : {};
  return { type: "file", path, size, oid, ...lfs };
}

async function drip(response: ServerResponse, content: Uint8Array, bytes: number): Promise<void> {
  for (let at = 0; at < content.length; at += bytes) {
    response.write(content.subarray(at, at + bytes));
    await setImmediate();
  }
  response.end();
}

function json(response: ServerResponse, value: unknown): void {
  response.writeHead(200, { "content-type": "application/json" });
  response.end(JSON.stringify(value));
}

async function textOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}
