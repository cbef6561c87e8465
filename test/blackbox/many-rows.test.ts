/** The loop of docs/wire.md, run by python3 as it stands there: parts, 429 in the middle, and the text of a 413. */
import { execFile, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { type AddressInfo } from "node:net";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writeModelFolder } from "../support/model-folder.ts";
import { type RunningServer, startServer } from "../support/running-server.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

const run = promisify(execFile);
const hasPython = spawnSync("python3", ["--version"]).status === 0;
const D = 2;
const LOOP = /```python\n(import json, random[^`]*)```/.exec(readFileSync("docs/wire.md", "utf8"))![1]!;

/** An array as numpy's, as far as the loop needs one: row i is [i + 1, 0]. */
const ROWS = `
import struct, sys
class Rows:
    def __init__(self, numbers): self.numbers = numbers
    def __len__(self): return len(self.numbers)
    def __getitem__(self, part): return Rows(self.numbers[part])
    def tobytes(self): return b"".join(struct.pack("<2f", n + 1, 0) for n in self.numbers)
`;

let server: RunningServer;
/** Hands requests on to the server, but refuses those that `refuses` says. */
let proxy: Server;
let url: string;
let asked = 0;
let refuses = (_asked: number): boolean => false;

beforeAll(async () => {
  const models = temporaryFolder();
  writeModelFolder(models, "axes", { atoms: Float32Array.of(1, 0, 0, 1), d: D });
  server = await startServer(models, temporaryFolder(), { PURSUIT_MAX_BODY: String(1 << 20) });
  proxy = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on("data", (part: Buffer) => parts.push(part));
    request.on("end", () => {
      if (refuses(asked++)) {
        response.writeHead(429, { "retry-after": "1", "retry-after-ms": "3" }).end("{}");
        return;
      }
      const headers = { "content-type": request.headers["content-type"]!, accept: request.headers.accept! };
      void fetch(server.base + request.url!, { method: "POST", headers, body: Buffer.concat(parts) }).then(
        async (answer) => response.writeHead(answer.status).end(Buffer.from(await answer.arrayBuffer())),
      );
    });
  });
  await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}/v1/dictionaries/axes`;
}, 60_000);
afterAll(async () => {
  proxy.close();
  await server.stop();
});

const python = async (script: string, ...args: string[]): Promise<string> =>
  (await run("python3", ["-c", LOOP + ROWS + script, ...args])).stdout.trim();

describe.skipIf(!hasPython)("the loop of docs/wire.md", () => {
  it("encodes more rows than one request takes, and goes on where parts are refused in the middle", async () => {
    asked = 0;
    refuses = (n) => n % 3 === 1;
    const said = await python(
      `print(json.dumps([a["values"] for a in encode_all(Rows(list(range(10))), sys.argv[1], most=2)]))`,
      url,
    );
    expect(JSON.parse(said)).toEqual([
      [1, 2],
      [3, 4],
      [5, 6],
      [7, 8],
      [9, 10],
    ]);
    expect(asked).toBe(7);
  });

  it("gives up in the server's own words where waiting cannot help", async () => {
    // Over 1 MiB: the answer is there long before the body, and the connection ends with it, as urllib asks.
    const script = `
try: list(encode_all(Rows(range(4 << 20)), sys.argv[1], most=4 << 20))
except RuntimeError as error: print(json.loads(str(error))["code"])`;
    expect(await python(script, `${server.base}/v1/dictionaries/axes`)).toBe("PURSUIT_BODY_TOO_LARGE");
  });
});
