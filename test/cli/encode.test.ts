/** `pursuit encode` with a stand-in for Python: what it shows, and what it says where the embedder is missing. */
import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { writeFeatures } from "../../src/bulk/features-writer.ts";
import { newMeta } from "../../src/engine/dictionaries/features-file.ts";
import { readManifest } from "../../src/engine/dictionaries/manifest.ts";
import { loadWeights } from "../../src/engine/dictionaries/weights.ts";
import { SafetensorsFile } from "../../src/engine/dictionaries/formats/safetensors.ts";
import { writeModelFolder } from "../support/model-folder.ts";
import { npyBytes } from "../support/npy-bytes.ts";
import { callCli } from "../support/call-cli.ts";
import { startServer } from "../support/running-server.ts";
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
  callCli(["encode", "a", "--dictionary", "axes", "--python", command, "--models-dir", models]);
const rows = (...values: number[]): string =>
  `echo ${Buffer.from(Float32Array.from(values).buffer).toString("base64")}`;

describe("pursuit encode", () => {
  it("shows a sentence's atoms in the order of selection, with their labels", async () => {
    const { code, stdout } = await encode(python("works", rows(3, 4)));
    expect(code).toBe(0);
    expect(stdout).toMatch(/1 +1 +4\.0000 +3\.0000 {2}the second axis\n +2 +0 +3\.0000 +0\.0000 {2}—/);
  });

  it("shows the words of a feature's examples where it has no label, here and by a server", async () => {
    const both = temporaryFolder();
    const own = writeModelFolder(both, "axes", { atoms: Float32Array.of(1, 0, 0, 1), d: 2 });
    writeFileSync(join(own, "labels.json"), '{"1": {"text": "the second axis"}}');
    const { sha256 } = await loadWeights(own, await readManifest(own));
    await writeFeatures(own, {
      meta: newMeta({ sha256, m: 2, rows: 0 }),
      columns: {},
      records: new Map(),
      texts: new Map(),
      labels: new Map([[0, [{ text: "east, right", source: "examples" }]]]),
    });
    const words = /4\.0000 +3\.0000 {2}the second axis\n.*0\.0000 {2}east, right {2}\(from examples\)/;
    const args = ["encode", "a", "--dictionary", "axes", "--python", python("both", rows(3, 4))];
    expect((await callCli([...args, "--models-dir", both])).stdout).toMatch(words);
    const server = await startServer(both, temporaryFolder());
    try {
      expect((await callCli([...args, "--url", server.base])).stdout).toMatch(words);
    } finally {
      await server.stop();
    }
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

  it("encodes a file of rows into a file of codes, here and by a server alike", { timeout: 60_000 }, async () => {
    const numbers = [3, 4, 0, -1, 0.5, 0.25, 1, 1];
    const [npy, here, there, table] = ["x.npy", "here.safetensors", "there.safetensors", "codes.parquet"].map((name) =>
      join(folder, name),
    ) as [string, string, string, string];
    writeFileSync(npy, npyBytes([4, 2], numbers));
    const encodeRows = (out: string, ...flags: readonly string[]) =>
      callCli(["encode", "--dictionary", "axes", "--rows", npy, "--out", out, "--tolerance", "0.7", ...flags]);
    expect(await encodeRows(here, "--models-dir", models)).toMatchObject({
      code: 0,
      stdout: `${here}: the codes of 4 rows\n`,
    });
    const server = await startServer(models, temporaryFolder());
    try {
      expect(await encodeRows(there, "--url", server.base)).toMatchObject({ code: 0 });
    } finally {
      await server.stop();
    }
    expect(readFileSync(there)).toEqual(readFileSync(here));
    const codes = await SafetensorsFile.open(here);
    expect(codes.metadata).toMatchObject({ dictionary: "axes", shape: "[4,2]", budget: '{"tolerance":0.7}' });
    expect(await codes.readFloats("values")).toEqual(Float32Array.of(4, 0.5, 1, 1));
    await codes.close();

    expect((await encodeRows(table, "--models-dir", models)).code).toBe(0);
    expect(readFileSync(table).subarray(0, 4).toString()).toBe("PAR1");
    const said = async (...args: readonly string[]): Promise<string> =>
      (await callCli(["encode", "--models-dir", models, ...args])).stderr;
    expect(await said("--rows", npy)).toBe("--rows <file> and --out <file> go together.\n");
    expect(await said()).toBe("Give sentences, or --rows <file> and --out <file>.\n");
    expect(await said("--dictionary", "axes", "--rows", npy, "--out", "codes.csv")).toMatch(
      /ends in neither \.safetensors/,
    );
  });
});
