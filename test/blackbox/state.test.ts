/** Saved state over the socket: people's labels, and replicas that share a PostgreSQL. */
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { get, post } from "../support/client.ts";
import { writeModelFolder } from "../support/model-folder.ts";
import { findPostgres, type Postgres, startPostgres } from "../support/postgres.ts";
import { type RunningServer, startServer } from "../support/running-server.ts";
import { randomAtoms } from "../support/seeded.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";
import { until } from "../support/until.ts";

const ONE = "/v1/dictionaries/one";
const ADMIN = "an-admin-key-of-the-test";

const models = temporaryFolder();
const atoms = randomAtoms(16, 4, 1);
const folder = writeModelFolder(models, "one", { atoms, d: 4 });
const inputs = [[...atoms.subarray(12, 16)]];

interface Shown {
  readonly labels: readonly { readonly text: string; readonly source: string }[];
}

const send = (
  server: RunningServer,
  method: string,
  path: string,
  { body, ...headers }: { readonly body?: unknown } & Record<string, unknown> = {},
): Promise<Response> =>
  fetch(`${server.base}${ONE}${path}`, {
    method,
    headers: {
      ...(headers as Record<string, string>),
      ...(body !== undefined && { "content-type": "application/json" }),
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });

describe("a person's label", () => {
  const cache = temporaryFolder();
  let server: RunningServer;
  const key = { authorization: `Bearer ${ADMIN}` };
  const put = (label: unknown, headers = {}): Promise<Response> =>
    send(server, "PUT", "/features/3/label", { body: { label }, ...key, ...headers });

  beforeAll(async () => {
    writeFileSync(join(folder, "labels.json"), JSON.stringify({ 3: { text: "shipped text" } }));
    server = await startServer(models, cache, { PURSUIT_ADMIN_KEYS: ADMIN });
  });
  afterAll(() => server.stop());

  it("is written with an admin key, stands before the shipped one, beside codes and in search, and outlasts kill -9", async () => {
    expect((await send(server, "PUT", "/features/3/label", { body: { label: "no key" } })).status).toBe(401);
    const created = await put("  handwritten zebra ");
    expect([created.status, await created.json()]).toMatchObject([
      201,
      { feature: 3, label: "handwritten zebra", stale: false, etag: created.headers.get("etag") },
    ]);
    server.process.kill("SIGKILL");
    await once(server.process, "exit");
    server = await startServer(models, cache, { PURSUIT_ADMIN_KEYS: ADMIN });
    expect((await get<Shown>(server.base, `${ONE}/features/3`)).labels).toMatchObject([
      { text: "handwritten zebra", source: "person" },
      { text: "shipped text" },
    ]);
    const { codes } = await post<{
      codes: readonly { labels: readonly (string | null)[]; indices: readonly number[] }[];
    }>(server.base, `${ONE}/encode`, { inputs, budget: { max_atoms: 1 }, include: ["labels"] });
    expect([codes[0]!.indices, codes[0]!.labels]).toEqual([[3], ["handwritten zebra"]]);
    const { features } = await get<{ features: readonly { index: number }[] }>(
      server.base,
      `${ONE}/features?query=zebra`,
    );
    expect(features.map(({ index }) => index)).toEqual([3]);
  });

  it("heeds if-match and if-none-match, and is deleted once", async () => {
    const read = await send(server, "GET", "/features/3/label");
    const etag = read.headers.get("etag")!;
    expect((await send(server, "GET", "/features/3/label", { "if-none-match": etag })).status).toBe(304);
    expect((await put("other", { "if-match": '"x"' })).status).toBe(412);
    expect((await put("other", { "if-none-match": "*" })).status).toBe(412);
    expect((await put("other", { "if-match": etag })).status).toBe(200);
    expect((await send(server, "DELETE", "/features/3/label", { ...key, "if-match": etag })).status).toBe(412);
    expect((await send(server, "DELETE", "/features/3/label", key)).status).toBe(204);
    const gone = await send(server, "DELETE", "/features/3/label", key);
    expect([gone.status, await gone.json()]).toMatchObject([404, { code: "PURSUIT_LABEL_NOT_FOUND" }]);
    expect((await get<Shown>(server.base, `${ONE}/features/3`)).labels).toMatchObject([{ text: "shipped text" }]);
  });

  it.each([
    ["", 422],
    ["   ", 422],
    ["x".repeat(2001), 422],
    ["a\u0000b", 422],
    [7, 422],
  ])("is refused where its text is %j", async (label, status) => {
    const answer = await put(label);
    expect([answer.status, await answer.json()]).toMatchObject([
      status,
      { code: "PURSUIT_INVALID_FIELD", detail: expect.stringContaining("label") },
    ]);
  });

  it("needs a feature", async () => {
    const answer = await send(server, "PUT", "/features/16/label", { body: { label: "x" }, ...key });
    expect([answer.status, await answer.json()]).toMatchObject([404, { code: "PURSUIT_FEATURE_NOT_FOUND" }]);
  });
});

const bin = findPostgres();
describe.skipIf(bin === null)("two replicas over one PostgreSQL", () => {
  let postgres: Postgres;
  let replicas: readonly RunningServer[];

  beforeAll(async () => {
    postgres = await startPostgres(bin!);
    const env = { PURSUIT_STATE_URL: postgres.url };
    replicas = await Promise.all([0, 1].map(() => startServer(models, temporaryFolder(), env)));
  }, 120_000);
  afterAll(async () => {
    await Promise.all((replicas ?? []).map((server) => server.stop()));
    await postgres?.remove();
  });

  it("share sets and their versions: of writes that expect one version, one is taken", async () => {
    const [one, two] = replicas as [RunningServer, RunningServer];
    const body = (value: number) => ({ body: { edits: [{ feature: 1, op: "add", value }] } });
    const created = await send(one, "PUT", "/steering/shared", body(1));
    const etag = created.headers.get("etag")!;
    expect(await get(two.base, `${ONE}/steering/shared`)).toMatchObject({ name: "shared", etag });
    const raced = await Promise.all(
      Array.from({ length: 8 }, (_, i) =>
        send(replicas[i % 2]!, "PUT", "/steering/shared", { ...body(i + 2), "if-match": etag }),
      ),
    );
    expect(raced.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([200, ...Array<number>(7).fill(412)]);
    const taken = raced.find(({ status }) => status === 200)!.headers.get("etag");
    for (const { base } of replicas) expect(await get(base, `${ONE}/steering/shared`)).toMatchObject({ etag: taken });
  });

  it("show each other's labels", async () => {
    const [one, two] = replicas as [RunningServer, RunningServer];
    await send(one, "PUT", "/features/5/label", { body: { label: "seen by both" } });
    await until(async () => (await get<Shown>(two.base, `${ONE}/features/5`)).labels.length === 1);
  });

  it("answer 503 while the database is lost, encode on, and go on once it is back", async () => {
    const [one] = replicas as [RunningServer];
    await postgres.kill();
    for (const [method, path, body] of [
      ["GET", "/steering", undefined],
      ["GET", "/steering/shared", undefined],
      ["DELETE", "/steering/shared", undefined],
      ["PUT", "/steering/lost", { edits: [] }],
      ["PUT", "/features/5/label", { label: "lost" }],
    ] as const) {
      const answer = await send(one, method, path, body === undefined ? {} : { body });
      expect([answer.status, answer.headers.get("retry-after")]).toEqual([503, "5"]);
      expect(await answer.json()).toMatchObject({ code: "PURSUIT_STATE_UNAVAILABLE" });
    }
    const encoded = await post<{ codes: readonly { labels: readonly unknown[] }[] }>(one.base, `${ONE}/encode`, {
      inputs,
      budget: { max_atoms: 1 },
      include: ["labels"],
    });
    expect(encoded.codes[0]!.labels).toHaveLength(1);
    expect((await fetch(`${one.base}/health/ready`)).status).toBe(200);
    await postgres.start();
    expect((await send(one, "GET", "/steering/shared")).status).toBe(200);
    expect((await send(one, "GET", "/features/5/label")).status).toBe(200);
  });
});
