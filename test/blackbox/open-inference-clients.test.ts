/** The built server as tritonclient and KServe's client see it: the real ones, which tools/ci-setup installs. Full run only. */
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writeModelFolder } from "../support/model-folder.ts";
import { preparedPython } from "../support/prepared-python.ts";
import { type RunningServer, startServer } from "../support/running-server.ts";
import { randomAtoms } from "../support/seeded.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

const clients = (file: string): string => fileURLToPath(new URL(`../clients/${file}`, import.meta.url));
const SCRIPT = clients("open_inference.py");
const D = 64;
const CHECKS = [...readFileSync(SCRIPT, "utf8").matchAll(/^@check\ndef (\w+)/gm)].map(([, name]) => name!);

const python = preparedPython("open-inference-clients", clients("requirements.txt"));

describe.runIf(python !== null)("real clients of the Open Inference Protocol", () => {
  let server: RunningServer;
  let results: Readonly<Record<string, string>>;

  beforeAll(async () => {
    const models = temporaryFolder();
    writeModelFolder(models, "one", { atoms: randomAtoms(512, D, 1), d: D });
    writeModelFolder(models, "two", { atoms: randomAtoms(256, D, 2), d: D });
    // So that the clients meet compressed answers, short as theirs are.
    server = await startServer(models, temporaryFolder(), { PURSUIT_COMPRESS_FROM: "64" });
    const { stdout } = await promisify(execFile)(python!, [SCRIPT, server.base, "one", "two"]);
    results = JSON.parse(stdout.trim().split("\n").at(-1)!) as Record<string, string>;
  }, 300_000);
  afterAll(() => server.stop());

  it.each(CHECKS)("%s", (name) => {
    expect(results[name]).toBe("ok");
  });

  it("are all asked", () => {
    expect(CHECKS).toEqual(Object.keys(results));
    expect(CHECKS.length).toBeGreaterThan(15);
  });
});
