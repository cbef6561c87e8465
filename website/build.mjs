/**
 * Builds the documentation site into website/dist/<version>: the repository's Markdown as it is, by VitePress.
 * Earlier versions that lie beside it stay, and dist/versions.html lists all.
 *
 *     npm run build                     the version of package.json
 *     npm run build -- --version next   another name
 */
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, extname, join, normalize, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { build } from "vitepress";

// Else VitePress takes a notebook for a page that is not there.
process.env.VITE_EXTRA_EXTENSIONS = "ipynb";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const ROOT = fileURLToPath(new URL("..", import.meta.url));
const SOURCE = join(HERE, "source");
const DIST = join(HERE, "dist");

const { version: released } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
const { version } = parseArgs({ options: { version: { type: "string", default: released } } }).values;
if (!/^[\w.-]+$/.test(version)) throw new Error(`--version ${version}: use letters, digits, dots and dashes.`);

/** README.md is the page of its folder. */
const pageOf = (path) => path.replace(/(^|\/)README\.md$/, "$1index.md");

/** A link of a page as the site has it: README.md by its page, other files copied beside the pages, folders as plain text. */
function linkOf(page, text, target) {
  const [path, anchor = ""] = target.split(/(?=#)/);
  if (target.startsWith("#") || /^[a-z]+:/.test(path)) return `[${text}](${target})`;
  const file = normalize(join(dirname(page), path));
  if (!existsSync(join(ROOT, file))) throw new Error(`${page}: there is no ${path}.`);
  if (statSync(join(ROOT, file)).isDirectory()) return text;
  if (file.endsWith(".md")) return `[${text}](${pageOf(path)}${anchor})`;
  // VitePress takes a name without an extension for a page.
  const name = extname(file) === "" ? `${file}.txt` : file;
  cpSync(join(ROOT, file), join(SOURCE, "public", name), { recursive: true });
  return `[${text}](${path.slice(0, path.length - file.split("/").at(-1).length)}${name.split("/").at(-1)})`;
}

rmSync(SOURCE, { recursive: true, force: true });
const pages = execFileSync("git", ["ls-files", "*.md"], { cwd: ROOT, encoding: "utf8" }).trim().split("\n");
for (const page of pages) {
  // Code holds no links.
  const text = readFileSync(join(ROOT, page), "utf8").replaceAll(
    /^```[^]*?^```|`[^`\n]*`|(!?)\[((?:[^\]`]|`[^`]*`)*)\]\(([^)\s]+)\)/gm,
    (all, image, words, target) => {
      if (target === undefined) return all;
      // Pictures are bundled from where they lie.
      if (image === "!" && !/^[a-z]+:/.test(target)) {
        const file = normalize(join(dirname(page), target));
        mkdirSync(join(SOURCE, dirname(file)), { recursive: true });
        cpSync(join(ROOT, file), join(SOURCE, file));
        return `![${words}](./${relative(dirname(page), file)})`;
      }
      return linkOf(page, words, target);
    },
  );
  const file = join(SOURCE, pageOf(page));
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
}

process.env.SITE_VERSION = version;
await build(HERE, { base: `/${version}/`, outDir: join(DIST, version) });

const versions = readdirSync(DIST, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name)
  .sort((a, b) => b.localeCompare(a, "en", { numeric: true }));
const page = (title, head, body) =>
  `<!doctype html><html lang="en"><meta charset="utf-8"><title>${title}</title>${head}${body}</html>\n`;
const links = versions.map((name) => `<li><a href="${name}/">${name}</a></li>`).join("");
writeFileSync(join(DIST, "versions.html"), page("Versions", "", `<h1>Versions</h1><ul>${links}</ul>`));
const newest = versions.find((name) => /^\d/.test(name)) ?? versions[0];
writeFileSync(join(DIST, "index.html"), page("Pursuit", `<meta http-equiv="refresh" content="0; url=${newest}/">`, ""));
