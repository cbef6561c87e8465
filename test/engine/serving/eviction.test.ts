import { describe, expect, it } from "vitest";
import { Eviction } from "../../../src/engine/serving/eviction.ts";
import { settle } from "../../support/queue-world.ts";

/** Dictionaries of 10 bytes each in a memory of 30, by name; `loads` keeps what admit has started. */
function setup(allowed = 30) {
  const loaded = new Set<string>();
  const evicted: string[] = [];
  const world = { allowed, free: allowed, loading: false };
  const eviction: Eviction = new Eviction({
    memory: {
      get free() {
        return world.free;
      },
      get allowed() {
        return world.allowed;
      },
    },
    isLoaded: (id) => loaded.has(id),
    isLoading: () => world.loading,
    evict: async (id) => {
      loaded.delete(id);
      evicted.push(id);
      world.free += 10;
      eviction.changed();
    },
  });
  const load = (id: string, needed: number | null = 10): Promise<void> =>
    eviction.admit(id, needed, async () => {
      loaded.add(id);
      world.free -= needed ?? 0;
    });
  /** A request that begins to use a dictionary, loaded first. @returns its end */
  const request = async (id: string): Promise<() => void> => {
    const release = eviction.use(id);
    if (!loaded.has(id)) await load(id);
    return release;
  };
  return { eviction, evicted, loaded, load, request, world };
}

describe("Eviction", () => {
  it("unloads the least recently used, whatever was loaded first", async () => {
    const { request, evicted, loaded } = setup();
    for (const id of ["a", "b", "c", "a", "d", "e"]) (await request(id))();
    expect(evicted).toEqual(["b", "c"]);
    expect([...loaded]).toEqual(["a", "d", "e"]);
  });

  it("keeps what a request uses, and waits until one is over", async () => {
    const { request, evicted, loaded } = setup();
    const ends = await Promise.all(["a", "b", "c"].map(request));
    const waiting = request("d");
    await settle();
    expect([evicted, loaded.has("d")]).toEqual([[], false]);
    ends[1]!();
    await waiting;
    expect(evicted).toEqual(["b"]);
  });

  it("gives up a load that no request waits for any more, and lets the next one pass", async () => {
    const { request, eviction, load, evicted } = setup();
    const [endOfA] = await Promise.all(["a", "b", "c"].map(request));
    const release = eviction.use("d");
    const given = load("d");
    const refused = expect(given).rejects.toThrow("No request waits for dictionary d any more.");
    await settle();
    release();
    await refused;
    const next = request("e");
    endOfA!();
    await next;
    expect(evicted).toEqual(["a"]);
  });

  it("starts at once what can never fit or is of unknown size, and unloads nothing for it", async () => {
    const { load, request, eviction, evicted } = setup();
    (await request("a"))();
    eviction.use("large");
    await load("large", 31);
    await load("broken", null);
    expect(evicted).toEqual([]);
  });

  it("ends the waiting when the server ends", async () => {
    const { request, eviction, loaded } = setup();
    await Promise.all(["a", "b", "c"].map(request));
    const waiting = request("d");
    await settle();
    eviction.end();
    await waiting;
    expect(loaded.has("d")).toBe(true);
  });
});
