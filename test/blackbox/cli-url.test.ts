/** `pursuit verify --url` and `encode --url` against a server with a key, behind a proxy that serves it under a path. */
import { writeFileSync } from "node:fs";
import { createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { writeModelFolder } from "../support/model-folder.ts";
import { npyBytes } from "../support/npy-bytes.ts";
import { runCli } from "../support/run-cli.ts";
import { startServer } from "../support/running-server.ts";
import { TINY_EMBEDDER, TINY_ORDER, TINY_TEXT, writeTinyDictionary } from "../support/tiny-embedder.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

const KEY = "a-key-of-the-server";
const PREFIX = "/pursuit";

/** Forwards what is under PREFIX to a server. @returns its address and how to close it */
async function proxyOf(port: number): Promise<{ base: string; seen: string[]; close: () => void }> {
  const seen: string[] = [];
  const proxy = createServer((incoming, outgoing) => {
    seen.push(incoming.url!);
    if (!incoming.url!.startsWith(`${PREFIX}/`)) {
      outgoing.writeHead(404, { "content-type": "text/html" }).end("<h1>not here</h1>");
      return;
    }
    const path = incoming.url!.slice(PREFIX.length);
    const onward = request(
      { port, path, method: incoming.method, headers: { ...incoming.headers, host: `127.0.0.1:${port}` } },
      (answer) => {
        outgoing.writeHead(answer.statusCode!, answer.headers);
        answer.pipe(outgoing);
      },
    );
    incoming.pipe(onward);
  });
  await new Promise<void>((listening) => proxy.listen(0, "127.0.0.1", listening));
  const base = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
  return { base, seen, close: () => proxy.close() };
}

describe("a command with --url", () => {
  it("asks the server under its path, with its key, and says what else is wrong", async () => {
    const models = temporaryFolder();
    const folder = temporaryFolder();
    const axes = writeModelFolder(models, "axes", { atoms: Float32Array.of(1, 0, 0, 1), d: 2 });
    writeFileSync(join(axes, "labels.json"), '{"1": {"text": "the second axis"}}');
    const file = (name: string, bytes: Uint8Array | string): string => {
      writeFileSync(join(folder, name), bytes);
      return join(folder, name);
    };
    const rows = file("x.npy", npyBytes([1, 2], [3, 4]));
    const codes = file("z.npy", npyBytes([1, 2], [3, 4]));
    writeTinyDictionary(models, "tiny");

    const server = await startServer(models, temporaryFolder(), { PURSUIT_API_KEYS: KEY });
    const proxy = await proxyOf(server.port);
    const verify = (url: string, env: Record<string, string> = { PURSUIT_API_KEYS: KEY }) =>
      runCli(["verify", "axes", "--rows", rows, "--codes", codes, "--models-dir", models, "--url", url], env);
    try {
      expect(await verify(proxy.base + PREFIX)).toMatchObject({
        code: 0,
        stdout: expect.stringContaining("1 agreed, 0 undecided, 0 differ"),
      });
      expect(proxy.seen).toEqual(["/pursuit/v1/dictionaries/axes/encode"]);

      const encoded = await runCli(
        ["encode", TINY_TEXT, "--dictionary", "tiny", "--max-atoms", "2", "--url", `${proxy.base}${PREFIX}/`],
        { PURSUIT_API_KEYS: KEY, PURSUIT_MODELS_DIR: folder, PURSUIT_EMBEDDER_DIR: TINY_EMBEDDER },
      );
      expect(encoded).toMatchObject({ code: 0, stderr: "" });
      const [first, second] = TINY_ORDER;
      expect(encoded.stdout).toMatch(
        new RegExp(`1 +${first} +\\d.\\d{4} +\\d.\\d{4} {2}the longest axis\\n +2 +${second} .* {2}—`),
      );

      expect((await verify(proxy.base)).stderr).toMatch(
        /answers 404 \(text\/html\), which is not an answer of Pursuit/,
      );
      expect((await verify(proxy.base + PREFIX, {})).stderr).toMatch(/answers 401: .*Set PURSUIT_API_KEYS to a key/);
      expect((await verify(server.base.replace("http:", "https:"))).stderr).toMatch(/does not speak TLS/);
      expect((await verify(server.base.replace("//", "//u:secret@"))).stderr).toMatch(/\/\/\*\*\*@127\.0\.0\.1/);
    } finally {
      proxy.close();
      await server.stop();
    }
  });
});
