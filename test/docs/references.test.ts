/** References in the tree: none points outside the repository, and every relative link resolves. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** Paths in the repository, new ones included, ignored ones not. */
const paths = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard"], {
  cwd: ROOT,
  encoding: "utf8",
})
  .split("\n")
  .filter(
    (path) => /\.(md|ts|js|mjs|py|sh|ya?ml|toml)$|^\.ci\/|Dockerfile$/.test(path) && existsSync(join(ROOT, path)),
  );

const textOf = (path: string): string => readFileSync(join(ROOT, path), "utf8");

/** Code blocks and code spans hold no links. */
const proseOf = (path: string): string => textOf(path).replaceAll(/^```[^]*?^```|`[^`\n]*`/gm, "");

/** GitHub's anchor of each heading. */
function anchorsOf(path: string): ReadonlySet<string> {
  const anchors = new Set<string>();
  for (const [, heading] of textOf(path)
    .replaceAll(/^```[^]*?^```/gm, "")
    .matchAll(/^#+ +(.+)$/gm)) {
    const slug = heading!
      .toLowerCase()
      .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1")
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, "")
      .replaceAll(" ", "-");
    let anchor = slug;
    for (let n = 1; anchors.has(anchor); n++) anchor = `${slug}-${n}`;
    anchors.add(anchor);
  }
  return anchors;
}

const pages = paths.filter((path) => path.endsWith(".md"));

describe("links", () => {
  it.each(pages)("of %s resolve", (page) => {
    const broken: string[] = [];
    for (const [, link] of proseOf(page).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(link!)) continue;
      const [file, anchor] = link!.split("#") as [string, string?];
      const target = file === "" ? page : normalize(join(dirname(page), file));
      if (target.startsWith("..") || !existsSync(join(ROOT, target))) broken.push(link!);
      else if (anchor !== undefined && target.endsWith(".md") && !anchorsOf(target).has(anchor)) broken.push(link!);
    }
    expect(broken).toEqual([]);
  });
});

describe("comments and pages", () => {
  const matches = (pattern: RegExp, ok: (match: RegExpMatchArray) => boolean): string[] =>
    paths.flatMap((path) =>
      textOf(path)
        .split("\n")
        .flatMap((line, i) =>
          [...line.matchAll(pattern)].filter((match) => !ok(match)).map(([text]) => `${path}:${i + 1}: ${text}`),
        ),
    );

  it("name no section of a page outside the repository", () => {
    // A section sign belongs to an RFC, which everybody can look up.
    expect(matches(/^.*\u00a7.*$/g, ([line]) => line.includes("RFC"))).toEqual([]);
    expect(matches(/\b[D]ESIGN\b/g, () => false)).toEqual([]);
    expect(matches(/(?<![\w./-])(?:shared|reference|\/work)\/[\w.-]+/g, () => false)).toEqual([]);
  });

  it("name only pages that exist, and only sections that these have", () => {
    const name = /\bdocs\/[\w./-]+\.md(?:, ([A-Z][a-z]+(?: [a-z]+)*)(?=[).:;]))?/g;
    const found = matches(name, ([text, section]) => {
      const page = text.split(",")[0]!;
      if (!existsSync(join(ROOT, page))) return false;
      return section === undefined || anchorsOf(page).has(section.toLowerCase().replaceAll(" ", "-"));
    });
    expect(found).toEqual([]);
    expect(matches(name, ([, section]) => section === undefined).length).toBeGreaterThan(5);
  });
});
