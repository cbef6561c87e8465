/** Calls of the command line to a server: addresses, keys, and what is said of each way in which they fail. */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type RequestListener, type Server } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { type AddressInfo, createServer as createTcpServer, type Server as TcpServer } from "node:net";
import { afterAll, describe, expect, it } from "vitest";
import { ServerClient } from "../../src/cli/server-client.ts";

const tls = new URL("../fixtures/tls/", import.meta.url);
const KEY = "k".repeat(16);
const servers: (Server | TcpServer)[] = [];
afterAll(() => {
  for (const server of servers) server.close();
});

async function portOf(server: Server | TcpServer): Promise<number> {
  servers.push(server);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

/** A server that answers as told, and the requests that it got. */
async function serve(answer: RequestListener): Promise<{ base: string; requests: IncomingMessage[] }> {
  const requests: IncomingMessage[] = [];
  const server = createServer((request, response) => {
    requests.push(request);
    request.resume();
    answer(request, response);
  });
  return { base: `http://127.0.0.1:${await portOf(server)}`, requests };
}

const json: RequestListener = (_request, response) => {
  response.setHeader("content-type", "application/json").end('{"d": 4}');
};
const problem =
  (status: number, code: string, detail: string): RequestListener =>
  (_request, response) => {
    response.writeHead(status, { "content-type": "application/problem+json" }).end(JSON.stringify({ code, detail }));
  };
const get = (address: string, key?: string) => new ServerClient(address, key).get("/v1/dictionaries/a");

describe("an address", () => {
  it.each(["", "/", "//", "/pursuit", "/pursuit/", "/a/b"])("keeps the path %j of a proxy", async (path) => {
    const { base, requests } = await serve(json);
    expect(await get(base + path, KEY)).toEqual({ status: 200, body: { d: 4 } });
    const [request] = requests;
    expect(request!.url).toBe(`${path.replace(/\/+$/, "")}/v1/dictionaries/a`);
    expect(request!.headers.authorization).toBe(`Bearer ${KEY}`);
  });

  it.each([
    ["localhost:8080", /localhost:8080 has no scheme: write http:\/\/ or https:\/\//],
    ["127.0.0.1:8080", /127\.0\.0\.1:8080 has no scheme/],
    ["example.com/pursuit", /has no scheme/],
    ["ftp://127.0.0.1:8080", /Pursuit is reached by http:\/\/ or https:\/\/, not by ftp:\/\//],
    ["http://", /is no address; one looks like http:\/\/127\.0\.0\.1:8080/],
    ["http://127.0.0.1:99999", /is no address/],
    [
      "http://user:secret@127.0.0.1:8080",
      /holds a user name or a password: http:\/\/\*\*\*@127\.0\.0\.1:8080\. .*PURSUIT_API_KEYS/,
    ],
    ["http://127.0.0.1:8080/?key=secret", /leave out what follows \?/],
    ["http://127.0.0.1:8080/p#secret", /leave out what follows #/],
    ["http://127.0.0.1:8080/v1", /base address, without \/v1\./],
    ["http://127.0.0.1:8080/p/v1/dictionaries/a", /base address, without \/v1\/dictionaries\/a/],
  ])("%s is refused", (address, said) => {
    expect(() => new ServerClient(address)).toThrow(said);
    expect(() => new ServerClient(address)).not.toThrow(/secret/);
  });
});

describe("a key", () => {
  it("is not sent over a redirect, to whatever place", async () => {
    const elsewhere = await serve(json);
    const { base } = await serve((_request, response) => {
      response.writeHead(307, { location: `${elsewhere.base}/v1/dictionaries/a` }).end();
    });
    await expect(get(base, KEY)).rejects.toThrow(`answers 307, a redirect to ${elsewhere.base}/v1/dictionaries/a. If`);
    await expect(new ServerClient(base, KEY).post("/v1/x", {})).rejects.toThrow("answers 307");
    expect(elsewhere.requests).toEqual([]);
  });

  it("is asked for, or said to be unknown", async () => {
    const { base } = await serve(problem(401, "PURSUIT_UNAUTHORIZED", "Send a key."));
    await expect(get(base)).rejects.toThrow(/answers 401: Send a key\. Set PURSUIT_API_KEYS to a key of that server/);
    await expect(get(base, KEY)).rejects.toThrow(/answers 401.*The first key of PURSUIT_API_KEYS was sent/);
    await expect(get(base, KEY)).rejects.not.toThrow(KEY);
  });
});

describe("an answer", () => {
  it("of Pursuit is told in its own words", async () => {
    const forbidden = await serve(problem(403, "PURSUIT_HOST_REFUSED", "Host is not allowed."));
    await expect(get(forbidden.base)).rejects.toThrow(/answers 403: Host is not allowed\.$/);
    const missing = await serve(problem(404, "PURSUIT_DICTIONARY_NOT_FOUND", "There is no dictionary a."));
    await expect(get(missing.base)).rejects.toThrow(/There is no dictionary a\. One imported since .*\/load\.$/);
    const route = await serve(problem(404, "PURSUIT_ROUTE_NOT_FOUND", "There is no GET /x."));
    await expect(get(`${route.base}/x`)).rejects.toThrow(/Does --url end in the path under which Pursuit is served\?/);
  });

  it.each([
    [
      404,
      "text/html",
      "<h1>nginx</h1>",
      /answers 404 \(text\/html\), which is not an answer of Pursuit\. Does --url end in the path/,
    ],
    [200, "text/html", "<h1>a page</h1>", /answers 200 \(text\/html\), which is not an answer of Pursuit/],
    [200, "application/json", "[1]", /answers 200 \(application\/json\), which is not an answer of Pursuit/],
    [
      502,
      "application/json",
      '{"error": "bad gateway"}',
      /answers 502 \(application\/json\), which is not an answer of Pursuit/,
    ],
    [401, "text/html", "", /answers 401 .*A proxy before it may ask for credentials, which this command does not send/],
    [404, "application/json", '{"code": "NotFound"}', /not an answer of Pursuit/],
  ])("%i %s of something else is told from Pursuit's", async (status, type, body, said) => {
    const { base } = await serve((_request, response) => {
      response.writeHead(status, { "content-type": type }).end(body);
    });
    await expect(get(base)).rejects.toThrow(said);
  });

  it("that breaks off is not taken for another server's", async () => {
    const { base } = await serve((_request, response) => {
      response.writeHead(200, { "content-length": "100" });
      response.write('{"d"');
      setImmediate(() => response.destroy());
    });
    await expect(get(base)).rejects.toThrow(
      /No answer from http:\/\/127\.0\.0\.1:\d+: .*closed the connection without an HTTP answer/,
    );
  });
});

describe("a busy server", () => {
  it.each([
    [429, "retry-after-ms", "1"],
    [503, "retry-after", "0"],
  ])("%i with %s is asked again, with the same body", async (status, header, value) => {
    const bodies: string[] = [];
    const server = createServer((request, response) => {
      let body = "";
      request.on("data", (chunk: Buffer) => (body += chunk.toString()));
      request.on("end", () => {
        bodies.push(body);
        if (bodies.length === 3) return json(request, response);
        response.setHeader(header, value);
        problem(status, "PURSUIT_QUEUE_FULL", "The queue is full.")(request, response);
      });
    });
    const client = new ServerClient(`http://127.0.0.1:${await portOf(server)}`);
    expect(await client.post("/v1/x", { a: 1 })).toEqual({ status: 200, body: { d: 4 } });
    expect(bodies).toEqual(Array(3).fill('{"a":1}'));
  });

  it.each([
    [429, { "retry-after": "86400" }],
    [503, { "retry-after": "Wed, 21 Oct 2026 07:28:00 GMT" }],
    [503, {}],
    [500, { "retry-after": "0" }],
  ])("%i with %o ends in its words: it asks for no wait, or for too long a one", async (status, headers) => {
    const { base, requests } = await serve((request, response) => {
      for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
      problem(status, "PURSUIT_QUEUE_FULL", "The queue is full.")(request, response);
    });
    await expect(get(base)).rejects.toThrow(`answers ${status}: The queue is full.`);
    expect(requests).toHaveLength(1);
  });
});

describe("no connection", () => {
  it("because nothing listens", async () => {
    const server = createTcpServer();
    const port = await portOf(server);
    await new Promise((closed) => server.close(closed));
    await expect(get(`http://127.0.0.1:${port}`)).rejects.toThrow(
      `nothing listens at 127.0.0.1:${port}. Start a server there ("pursuit serve"), or give its address with --url. (ECONNREFUSED)`,
    );
  });

  it("because the name is not known", async () => {
    // Too long to be asked of any name server.
    const name = `${"a".repeat(64)}.invalid`;
    await expect(get(`http://${name}`)).rejects.toThrow(`the name ${name} is not known. Check the host in --url.`);
  });

  it("because the server speaks plain HTTP, or the other way round", async () => {
    const plain = await serve(json);
    await expect(get(plain.base.replace("http:", "https:"))).rejects.toThrow(
      /does not speak TLS.*begin --url with http:/,
    );
    const secret = createTlsServer({
      key: readFileSync(new URL("key.pem", tls)),
      cert: readFileSync(new URL("cert.pem", tls)),
    });
    const port = await portOf(secret);
    await expect(get(`http://127.0.0.1:${port}`)).rejects.toThrow(/If it speaks TLS, begin --url with https:/);
    await expect(get(`https://127.0.0.1:${port}`)).rejects.toThrow(
      /the certificate of 127\.0\.0\.1:\d+ is not trusted\. .*NODE_EXTRA_CA_CERTS/,
    );
  });
});
