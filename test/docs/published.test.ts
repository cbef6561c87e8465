/** docs/published.md: its commands lead from a published dictionary to codes, against a stand-in hub that serves one of its shape. */
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";
import { npyBytes } from "../support/npy-bytes.ts";
import { runCli } from "../support/run-cli.ts";
import { type RunningServer, startServer } from "../support/running-server.ts";
import { StandInHub } from "../support/stand-in-hub.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";
import { zipBytes } from "../support/zip-bytes.ts";

const PAGE = readFileSync(fileURLToPath(new URL("../../docs/published.md", import.meta.url)), "utf8");
const [pull, serve, encode] = /^```sh\n([^]*?)^```/m.exec(PAGE)![1]!.replaceAll("|\n  ", "| ").trim().split("\n");

let hub: StandInHub;
let server: RunningServer | undefined;
beforeAll(async () => {
  hub = await StandInHub.start();
});
afterAll(async () => {
  await server?.stop();
  await hub.close();
});

/** params.npz of Gemma Scope 1: thresholds of zero, so that about half of the atoms are active. */
function gemmaScope(d: number, m: number): Uint8Array {
  const shapes = { W_enc: [d, m], W_dec: [m, d], b_enc: [m], b_dec: [d], threshold: [m] };
  return zipBytes(
    Object.entries(shapes).map(([name, shape], key) => {
      const length = shape.reduce((a, b) => a * b);
      const data = Array.from({ length }, (_, i) => (name === "threshold" ? 0 : Math.sin(1 + i * 1.7 + key) / 10));
      return { name: `${name}.npy`, bytes: npyBytes(shape, data) };
    }),
  );
}

it("leads from a published dictionary to codes in three commands", async () => {
  hub.add("google/gemma-scope-2b-pt-res", { "layer_12/width_16k/average_l0_82/params.npz": gemmaScope(2304, 64) });
  const folder = temporaryFolder();
  const models = join(folder, "models");
  const hubs = { HF_ENDPOINT: hub.endpoint, HF_HUB_CACHE: join(folder, "hub"), HF_HUB_OFFLINE: "", HF_TOKEN: "" };
  const [, ...args] = /^npx pursuit (.*)$/.exec(pull!)![1]!.split(" ");
  expect(pull).toMatch(/^npx pursuit pull /);
  const { code, stderr } = await runCli(["pull", ...args], { ...hubs, PURSUIT_MODELS_DIR: models });
  expect([code, stderr]).toEqual([0, expect.any(String)]);

  expect(serve).toBe("npx pursuit serve");
  server = await startServer(models, folder);

  const command = encode!.replace("http://127.0.0.1:8080", server.base);
  expect(command).not.toBe(encode);
  const answer = JSON.parse(await shell(command)) as { codes: readonly { atoms: number; stop: string }[] };
  expect(answer).toMatchObject({ dictionary: "gemma-12", codes: [{ atoms: 8, stop: "max_atoms" }] });
});

/** Standard output of a shell command, with this Node first on its path. */
function shell(command: string): Promise<string> {
  const path = `${dirname(process.execPath)}:${process.env["PATH"]}`;
  const child = spawn("sh", ["-c", command], {
    env: { ...process.env, PATH: path },
    stdio: ["ignore", "pipe", "inherit"],
  });
  let out = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (out += text));
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", () => resolve(out));
  });
}
