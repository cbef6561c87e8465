// Prints what CHANGELOG.md says of this version; of what is unreleased, where it does not name this version yet.
import { readFileSync } from "node:fs";

const read = (path) => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");
const { version } = JSON.parse(read("package.json"));
const sections = read("CHANGELOG.md").split(/^## /m).slice(1);
const section =
  sections.find((text) => text.startsWith(`[${version}]`) || text.startsWith(version)) ??
  sections.find((text) => text.startsWith("Unreleased"));
if (section === undefined)
  throw new Error(`CHANGELOG.md has no section of ${version}, and none of what is unreleased.`);
console.log(section.slice(section.indexOf("\n")).trim());
