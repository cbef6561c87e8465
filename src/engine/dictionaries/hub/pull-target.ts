import { Fault } from "../../core/errors.ts";
import { posix } from "node:path";
import { layoutOf } from "../registry/layouts.ts";
import type { Registry, RegistryEntry } from "../registry/registry.ts";

/** A dictionary on a hub, as a user names it. */
export interface PullTarget {
  /** Repository, "owner/name". */
  readonly repo: string;
  readonly revision: string;
  /** Folder or file in the repository; "" for its root. */
  readonly path: string;
  /** What the registry says, where it was named by it. */
  readonly entry?: RegistryEntry;
}

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;
const DEFAULT_REVISION = "main";

/**
 * Reads "release/id" of the registry, or "hf://owner/repo[@revision]/path".
 * @param revision of --revision
 * @throws Fault that says what is wrong, with the nearest names
 */
export function parseTarget(given: string, registry: Registry, revision: string | undefined): PullTarget {
  if (revision !== undefined) checkRevision(revision);
  if (given.startsWith("hf://")) return parseAddress(given, revision);
  const entry = registry.find(given);
  if (entry === undefined) throw new Fault("import", [unknownName(given, registry)]);
  const { refused, words } = layoutOf(entry);
  if (refused !== undefined) throw new Fault("import", [`${given} is not served: ${words}. ${refused}`]);
  return { repo: entry.repo, revision: revision ?? DEFAULT_REVISION, path: entry.path, entry };
}

function parseAddress(given: string, revision: string | undefined): PullTarget {
  const [owner = "", second = "", ...rest] = given.slice("hf://".length).replace(/\/+$/, "").split("/");
  const [name = "", ...inName] = second.split("@");
  if (owner === "datasets" || owner === "spaces") {
    throw new Fault("import", [`${given}: dictionaries are pulled from model repositories: hf://owner/repo/path.`]);
  }
  if (!NAME.test(owner) || !NAME.test(name) || inName.length > 1) {
    throw new Fault("import", [
      `${given} names no repository. Write hf://owner/repo/path, or hf://owner/repo@revision/path.`,
    ]);
  }
  if (rest.some((part) => part === "" || part === "." || part === "..")) {
    throw new Fault("import", [`${given}: the path may not hold empty parts, "." or "..".`]);
  }
  // A branch with a slash is written with %2F there, as in URLs.
  const inside = inName[0] === undefined ? undefined : decodeRevision(inName[0], given);
  if (inside !== undefined && revision !== undefined && inside !== revision) {
    throw new Fault("import", [`${given} names revision ${inside}, --revision ${revision}. Leave one of them out.`]);
  }
  return { repo: `${owner}/${name}`, revision: revision ?? inside ?? DEFAULT_REVISION, path: rest.join("/") };
}

function decodeRevision(text: string, given: string): string {
  try {
    const revision = decodeURIComponent(text);
    checkRevision(revision);
    return revision;
  } catch (error) {
    if (error instanceof Fault) throw error;
    throw new Fault("import", [`${given}: the revision cannot be decoded. Write a slash in it as %2F.`]);
  }
}

/** It becomes a file's name in the cache. */
function checkRevision(revision: string): void {
  if (
    /^[A-Za-z0-9][\w./-]*$/.test(revision) &&
    !revision.split("/").some((part) => part === "" || part.startsWith("."))
  )
    return;
  throw new Fault("import", [`${JSON.stringify(revision)} is no revision: name a branch, a tag or a commit.`]);
}

function unknownName(given: string, registry: Registry): string {
  const near = registry.nearest(given);
  const releases = new Set(registry.entries.map(({ release }) => release));
  const [release] = given.split("/");
  const said = releases.has(given)
    ? `${given} is a release of several dictionaries: name one, as <release>/<id>`
    : releases.has(release!)
      ? `The release ${release} has no ${given.slice(release!.length + 1)}`
      : `${given} is not in the registry`;
  return [
    `${said}. Near it are:`,
    ...near.map((name) => `  ${name}`),
    "pursuit search <words> finds others; hf://owner/repo/path names any repository.",
  ].join("\n");
}

/** The id that a pulled dictionary gets unless one is given. */
export function idOfTarget({ repo, path, entry }: PullTarget): string {
  const name =
    entry?.name ?? `${posix.basename(repo)}/${path.replace(/\.(?:safetensors|npz|npy|pt|pth|bin|ckpt)$/i, "")}`;
  return name
    .replaceAll(/[^A-Za-z0-9._-]+/g, "-")
    .replace(/^[^A-Za-z0-9]+/, "")
    .replace(/-+$/, "")
    .slice(0, 128);
}
