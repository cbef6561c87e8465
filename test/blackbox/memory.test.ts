/** The built server under a memory limit: what is left out, what is refused, and what is said of it. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { DictionaryWire } from "../../src/routes/v1/dictionary-schemas.ts";
import { type Encoded, get, post } from "../support/client.ts";
import { itInFull } from "../support/full.ts";
import { writeModelFolder } from "../support/model-folder.ts";
import { type RunningServer, startServer } from "../support/running-server.ts";
import { normals, randomAtoms } from "../support/seeded.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";
import { until } from "../support/until.ts";

const [D, M] = [64, 2048];
const MiB = 2 ** 20;

/** Loading one takes 67 MiB, its Gram matrix 36 more; the server itself and its bodies have 129. */
const ENV = { PURSUIT_MEMORY_LIMIT: String((129 + 140) * MiB), PURSUIT_MAX_BYTES_IN_FLIGHT: String(MiB) };

const models = temporaryFolder();
let server: RunningServer;

beforeAll(async () => {
  for (const [i, id] of ["one", "two"].entries()) writeModelFolder(models, id, { atoms: randomAtoms(M, D, i), d: D });
  server = await startServer(models, temporaryFolder(), ENV);
});
afterAll(() => server.stop());

const encode = ({ base }: RunningServer, id: string): Promise<Encoded> =>
  post(base, `/v1/dictionaries/${id}/encode`, { inputs: [[...normals(D, 1)]], budget: { max_atoms: 16 } });
const change = (what: "load" | "unload", id: string): Promise<Response> =>
  fetch(`${server.base}/v2/repository/models/${id}/${what}`, { method: "POST" });
const one = (id: string): Promise<DictionaryWire> => get(server.base, `/v1/dictionaries/${id}`);

describe("under PURSUIT_MEMORY_LIMIT", () => {
  itInFull("dictionaries without room for their Gram matrix are served without it, and the list says why", async () => {
    const { dictionaries } = await get<{ dictionaries: DictionaryWire[] }>(server.base, "/v1/dictionaries");
    const without = /without its Gram matrix \(36 MiB\).* of the 269 MiB that PURSUIT_MEMORY_LIMIT allows are free/;
    expect(dictionaries).toEqual(
      ["one", "two"].map((id) =>
        expect.objectContaining({
          id,
          state: "ready",
          path: "residual",
          warnings: expect.arrayContaining([expect.stringMatching(without)]),
        }),
      ),
    );
    expect((await fetch(`${server.base}/health/ready`)).status).toBe(200);
    expect(server.log()).toMatch(without);
    const roomy = await startServer(models, temporaryFolder());
    const [here, there] = await Promise.all([encode(server, "one"), encode(roomy, "one")]);
    const { path } = await get<DictionaryWire>(roomy.base, "/v1/dictionaries/one");
    await roomy.stop();
    expect(path).toBe("fused");
    expect(here.codes[0]!.indices).toEqual(there.codes[0]!.indices);
  });

  it("a dictionary for which nothing is left is refused with both numbers, until another is unloaded", async () => {
    // 64 MiB of weights.
    writeModelFolder(models, "three", { atoms: randomAtoms(4096, 4096, 3), d: 4096 });
    const never = await change("load", "three");
    expect([never.status, await never.json()]).toEqual([
      507,
      { error: expect.stringMatching(/needs 352 MiB of memory; of the 269 MiB .* dictionaries may have 140 MiB/) },
    ]);
    writeModelFolder(models, "three", { atoms: randomAtoms(M, D, 3), d: D });
    const now = await change("load", "three");
    expect([now.status, await now.json()]).toEqual([
      507,
      { error: expect.stringMatching(/needs 67 MiB of memory; .* are free\. Unload another dictionary/) },
    ]);
    // It is listed with that, and does not make the server unready: an operator has asked for it.
    expect(await one("three")).toMatchObject({ state: "failed", faults: [expect.stringContaining("67 MiB")] });
    expect((await fetch(`${server.base}/health/ready`)).status).toBe(200);
    expect((await change("unload", "one")).status).toBe(200);
    expect((await change("load", "three")).status).toBe(200);
    expect(await one("three")).toMatchObject({ state: "ready" });
  });

  it("metrics show the limit and what is held", async () => {
    const bytesOf = (text: string) =>
      [...text.matchAll(/dictionary_memory_bytes\{dictionary="(\w+)",use="runtime"\} (\d+)/g)].map(
        ([, id, bytes]) => [id!, Number(bytes)] as const,
      );
    const heldOf = (text: string) => Number(/memory_held_bytes\{use="runtime"\} (\d+)/.exec(text)![1]);
    // A version that was replaced holds memory until its process has ended, and is no dictionary's any more.
    let text = "";
    await until(async () => {
      text = await (await fetch(`${server.base}/metrics`)).text();
      return bytesOf(text).reduce((sum, [, bytes]) => sum + bytes, 0) === heldOf(text);
    });
    expect(text).toContain(`pursuit_memory_limit_bytes ${269 * MiB}`);
    expect(text).toContain(`pursuit_memory_held_bytes{use="server"} ${128 * MiB}`);
    expect(text).toContain(`pursuit_memory_held_bytes{use="requests"} ${MiB}`);
    expect(heldOf(text)).toBeGreaterThan(2 * 30 * MiB);
    const byDictionary = new Map(bytesOf(text));
    expect([...byDictionary.keys()]).toEqual(expect.arrayContaining(["one", "two", "three"]));
    // The unloaded one holds nothing.
    expect(byDictionary.get("one")).toBe(0);
  });
});
