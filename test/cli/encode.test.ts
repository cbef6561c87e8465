/** `pursuit encode` with a stand-in for Python: what it shows, and what it says where the embedder is missing. */
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { writeModelFolder } from "../support/model-folder.ts";
import { runCli } from "../support/run-cli.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

const folder = temporaryFolder();
const models = temporaryFolder();
writeFileSync(
  join(writeModelFolder(models, "axes", { atoms: Float32Array.of(1, 0, 0, 1), d: 2 }), "labels.json"),
  '{"1": {"text": "the second axis"}}',
);

/** An executable that stands for Python: it prints or fails as told. */
function python(name: string, script: string): string {
  const path = join(folder, name);
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
  return path;
}

const encode = (command: string) =>
  runCli(["encode", "a", "--dictionary", "axes", "--python", command, "--models-dir", models]);
const rows = (...values: number[]): string =>
  `echo ${Buffer.from(Float32Array.from(values).buffer).toString("base64")}`;

describe("pursuit encode", () => {
  it("shows a sentence's atoms in the order of selection, with their labels", async () => {
    const { code, stdout } = await encode(python("works", rows(3, 4)));
    expect(code).toBe(0);
    expect(stdout).toMatch(/1 +1 +4\.0000 +3\.0000 {2}the second axis\n +2 +0 +3\.0000 +0\.0000 {2}—/);
  });

  it("says what to install where the embedder is missing, in the embedder's own words", async () => {
    const said = "sentence_transformers is missing; install it with: pip install -r examples/requirements.txt";
    expect(await encode(python("bare", `echo "${said}" >&2; exit 1`))).toMatchObject({ code: 1, stderr: `${said}\n` });
  });

  it("says that there is no such Python", async () => {
    const { code, stderr } = await encode(join(folder, "nothing"));
    expect(code).toBe(1);
    expect(stderr).toMatch(/There is no .*nothing; install Python 3\.11 and name it with --python\./);
  });

  it("refuses a dictionary over another model's rows", async () => {
    const { code, stderr } = await encode(python("wide", rows(1, 2, 3)));
    expect(code).toBe(1);
    expect(stderr).toContain("rows of 3; this dictionary takes rows of 2");
  });
});
