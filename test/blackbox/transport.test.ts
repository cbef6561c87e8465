/** TLS with a certificate that is replaced, and a Unix socket. */
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { type IncomingMessage, request } from "node:http";
import { request as secureRequest } from "node:https";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { connect as secureConnect, type TLSSocket } from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { sample } from "../support/full.ts";
import { writeModelFolder } from "../support/model-folder.ts";
import { type RunningServer, spawnServer, startServer } from "../support/running-server.ts";
import { randomAtoms } from "../support/seeded.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";
import { until } from "../support/until.ts";

const models = temporaryFolder();
writeModelFolder(models, "one", { atoms: randomAtoms(8, 4, 1), d: 4 });
const ENCODE = "/v1/dictionaries/one/encode";
const body = JSON.stringify({ inputs: [[1, 2, 3, 4]], budget: { max_atoms: 1 } });

function hasOpenssl(): boolean {
  try {
    execFileSync("openssl", ["version"]);
    return true;
  } catch {
    console.log("SKIPPED: there is no openssl to make certificates with.");
    return false;
  }
}

describe.skipIf(!hasOpenssl())("TLS", () => {
  const folder = temporaryFolder();
  const [cert, key] = [join(folder, "tls.crt"), join(folder, "tls.key")];
  let server: RunningServer;

  /** Makes a certificate for 127.0.0.1 and its key, of a name. */
  function make(name: string): { readonly cert: string; readonly key: string } {
    const files = { cert: join(folder, `${name}.crt`), key: join(folder, `${name}.key`) };
    const subject = ["-subj", `/CN=${name}`, "-addext", "subjectAltName=IP:127.0.0.1"];
    const kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
    execFileSync("openssl", ["req", ...kind, ...subject, "-keyout", files.key, "-out", files.cert], {
      stdio: "ignore",
    });
    return files;
  }

  const first = make("first");
  const second = make("second");

  beforeAll(async () => {
    copyFileSync(first.cert, cert);
    copyFileSync(first.key, key);
    const env = { PURSUIT_TLS_CERT: cert, PURSUIT_TLS_KEY: key };
    server = await startServer(models, temporaryFolder(), env);
  });
  afterAll(() => server.stop());

  async function encode(headers: Record<string, string> = {}): Promise<[number, string]> {
    const options = { method: "POST", ca: [readFileSync(first.cert)], headers: { ...JSON_BODY, ...headers } };
    const sent = secureRequest(`${server.base}${ENCODE}`, options).end(body);
    const [answer] = (await once(sent, "response")) as [IncomingMessage];
    return [answer.statusCode!, await text(answer)];
  }

  /** Name of the certificate that a new connection gets. */
  async function served(): Promise<string> {
    const socket: TLSSocket = secureConnect({ port: server.port, host: "127.0.0.1", rejectUnauthorized: false });
    await once(socket, "secureConnect");
    const { CN } = socket.getPeerCertificate().subject;
    socket.destroy();
    return String(CN);
  }

  it("answers over https, its own pages included, and refuses other origins", async () => {
    expect(server.base).toMatch(/^https:/);
    const [status, answer] = await encode();
    expect([status, (JSON.parse(answer) as { codes: unknown[] }).codes.length]).toEqual([200, 1]);
    expect((await encode({ origin: server.base }))[0]).toBe(200);
    expect((await encode({ origin: "https://other.example" }))[0]).toBe(403);
    await expect(fetch(server.base.replace("https", "http"))).rejects.toThrow("fetch failed");
  });

  it("keeps its certificate while the files do not belong together, and takes new ones that do", async () => {
    expect(await served()).toBe("first");
    copyFileSync(second.cert, cert);
    await until(() => server.log().includes("The TLS certificate was not replaced"));
    expect(await served()).toBe("first");
    expect((await encode())[0]).toBe(200);
    copyFileSync(second.key, key);
    await until(async () => (await served()) === "second");
    expect(server.log()).not.toContain("PRIVATE KEY");
  });

  it.each(
    sample(
      [
        [{ PURSUIT_TLS_CERT: first.cert }, /belong together: set both or neither/],
        [
          { PURSUIT_TLS_CERT: join(folder, "none"), PURSUIT_TLS_KEY: first.key },
          /PURSUIT_TLS_CERT: .*none cannot be read/,
        ],
        [
          { PURSUIT_TLS_CERT: first.cert, PURSUIT_TLS_KEY: second.key },
          /are not a PEM certificate and its key: .*mismatch/,
        ],
      ],
      1,
    ),
  )("does not start with %j", async (env, message) => {
    const refused = spawnServer(models, temporaryFolder(), env);
    expect(await refused.exited).toBe(1);
    expect(refused.log()).toMatch(message);
  });
});

const JSON_BODY = { "content-type": "application/json" };

describe("a Unix socket", () => {
  const folder = temporaryFolder();
  const socket = join(folder, "pursuit.sock");

  async function encode(): Promise<[number, string]> {
    // No host that would be accepted over TCP.
    const options = { socketPath: socket, path: ENCODE, method: "POST", headers: { ...JSON_BODY, host: "elsewhere" } };
    const sent = request(options).end(body);
    const [answer] = (await once(sent, "response")) as [IncomingMessage];
    return [answer.statusCode!, await text(answer)];
  }

  it("answers beside the port, replaces one that a killed server left, and goes with the server", async () => {
    const env = { PURSUIT_SOCKET: socket, PURSUIT_RATE_LIMIT: "1000" };
    const killed = await startServer(models, temporaryFolder(), env);
    expect((await encode())[0]).toBe(200);
    expect((await fetch(`${killed.base}${ENCODE}`, { method: "POST", headers: JSON_BODY, body })).status).toBe(200);
    killed.process.kill("SIGKILL");
    await killed.exited;
    expect(statSync(socket).isSocket()).toBe(true);

    const next = await startServer(models, temporaryFolder(), env);
    expect((await encode())[0]).toBe(200);
    const other = spawnServer(models, temporaryFolder(), env);
    expect(await other.exited).toBe(1);
    expect(other.log()).toContain(`Cannot listen on ${socket}: it is in use. Check PURSUIT_SOCKET.`);
    expect((await encode())[0]).toBe(200);
    expect(await next.stop()).toBe(0);
    expect(existsSync(socket)).toBe(false);
  });

  it("never replaces another kind of file", async () => {
    const file = join(folder, "notes.txt");
    writeFileSync(file, "mine");
    const refused = spawnServer(models, temporaryFolder(), { PURSUIT_SOCKET: file });
    expect(await refused.exited).toBe(1);
    expect(readFileSync(file, "utf8")).toBe("mine");
  });
});
