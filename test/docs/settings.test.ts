import { expect, it } from "vitest";
import { describeSetting, flagOf, SETTING_NAMES, variableOf } from "../../src/server/settings.ts";

const INTRODUCTION = `# Settings

Each setting is an environment variable, a flag of \`pursuit serve\` and a line of a config file. The flag comes before the variable,
the variable before the file, the file before the default. At start the server lists every fault of every source at once.

A config file is YAML or JSON. \`--config\` or \`PURSUIT_CONFIG\` names it. Its names are the flags without dashes in front; lists
are lists, or texts with commas. Relative paths start at the working directory, as in flags.

\`\`\`yaml
port: 8080
models-dir: /srv/models
max-wait-ms: 2000
allowed-hosts: [pursuit.example.org]
\`\`\`

The other commands read \`PURSUIT_MODELS_DIR\` and the like, and the config file that \`PURSUIT_CONFIG\` names. [operations.md](operations.md)
says what the settings do together.

`;

/** A cell of a table: a pipe would end it. */
const cell = (text: string): string => text.replaceAll("|", "\\|");

function row(name: (typeof SETTING_NAMES)[number]): string {
  const { type, enum: values, description, default: fallback, words, minimum, maximum } = describeSetting(name);
  const range = maximum === Number.MAX_SAFE_INTEGER ? `${minimum} or more` : `${minimum} to ${maximum}`;
  const kinds: Readonly<Record<string, string>> = { integer: range, array: "a list", boolean: "true, false" };
  const allowed = values?.map((value) => `\`${value}\``).join(", ") ?? kinds[type ?? ""] ?? "text";
  const shown = words ?? (Array.isArray(fallback) || fallback === "" ? "none" : `\`${String(fallback)}\``);
  return `| \`${variableOf(name)}\`<br>\`${flagOf(name)}\` | ${cell(description)} | ${allowed} | ${shown} |`;
}

// To write the page again: npx vitest run test/docs/settings.test.ts -u
it("docs/settings.md lists every setting as the schema has it", async () => {
  const head = ["| setting | meaning | values | default |", "| --- | --- | --- | --- |"];
  const page = `${INTRODUCTION}${[...head, ...SETTING_NAMES.map(row)].join("\n")}\n`;
  await expect(page).toMatchFileSnapshot("../../docs/settings.md");
});
