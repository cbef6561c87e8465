import { join } from "node:path";
import { expect, it, vi } from "vitest";
import { storedSet } from "../../../../src/engine/serving/steering/set-file.ts";
import { freshEdits, ServedSets } from "../../../../src/engine/serving/steering/served-sets.ts";
import { sqliteBackend } from "../../../../src/engine/serving/state/database.ts";
import { StateStore } from "../../../../src/engine/serving/state/state-store.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

const root = temporaryFolder();
const always = (): boolean => true;
const edits = [{ feature: 3, op: "remove" } as const];

/** Sets over a dictionary whose weights may be replaced. */
function sets(name: string): { served: ServedSets; store: StateStore; weights: { sha256: string } } {
  const weights = { sha256: "a".repeat(64) };
  const store = new StateStore(sqliteBackend(join(root, name, "state.db")), {
    limit: 1 << 28,
    log: () => {},
    files: join(root, name, "steering"),
  });
  const served = new ServedSets(store, {
    sha256: () => weights.sha256,
    serving: () => ({ d: 2, m: 4, sha256: weights.sha256 }),
  });
  return { served, store, weights };
}

const ALL = { after: "", limit: 1000 };
const usedEdits = async (served: ServedSets, sha256: string): Promise<unknown> =>
  freshEdits("one", await served.use("one", "a"), sha256);

it("lists sets by name, each with a version that changes with what it says", async () => {
  const { served } = sets("list");
  await served.save("one", "b", edits, always);
  const { set, created } = await served.save("one", "a", edits, always);
  expect(created).toBe(true);
  expect((await served.list("one", ALL)).map(({ name }) => name)).toEqual(["a", "b"]);
  expect((await served.list("one", { after: "a", limit: 1 })).map(({ name }) => name)).toEqual(["b"]);
  expect(await served.get("one", "a")).toEqual(set);
  expect(await served.find("one", "a")).toEqual({ ...set, edits: 1, bytes: expect.any(Number) });
  const again = await served.save("one", "a", [{ feature: 2, op: "remove" }], (version) => version === set.version);
  expect([again.created, again.set.version === set.version]).toEqual([false, false]);
});

it("refuses a set after its dictionary was replaced, until it is saved again", async () => {
  const { served, weights } = sets("stale");
  const { set } = await served.save("one", "a", edits, always);
  expect(await usedEdits(served, weights.sha256)).toEqual(edits);
  weights.sha256 = "b".repeat(64);
  expect(await served.list("one", ALL)).toMatchObject([{ name: "a", version: set.version, stale: true }]);
  await expect(usedEdits(served, weights.sha256)).rejects.toMatchObject({ code: "PURSUIT_STEERING_SET_STALE" });
  const saved = await served.save("one", "a", edits, (version) => version === set.version);
  expect(saved.set.version).not.toBe(set.version);
  expect(await usedEdits(served, weights.sha256)).toEqual(edits);
});

it("reads a set from the disk once for the requests that use it, and again once it was saved anew", async () => {
  const { served, store, weights } = sets("cached");
  const read = vi.spyOn(store, "read");
  await served.save("one", "a", edits, always);
  const used = await Promise.all(Array.from({ length: 20 }, () => usedEdits(served, weights.sha256)));
  expect([read.mock.calls.length, new Set(used).size]).toEqual([1, 1]);
  expect(await usedEdits(served, weights.sha256)).toBe(used[0]);
  expect(read).toHaveBeenCalledTimes(1);
  await served.save("one", "a", [{ feature: 2, op: "remove" }], always);
  expect(await usedEdits(served, weights.sha256)).toEqual([{ feature: 2, op: "remove" }]);
  expect(read).toHaveBeenCalledTimes(2);
});

it("keeps a bounded part of the sets in memory", async () => {
  const { served, store, weights } = sets("bounded");
  const read = vi.spyOn(store, "read");
  const long = Array.from({ length: 256 }, (_, i) => ({ op: "project_out", vector: [1 + i, 2] }) as const);
  const bytes = JSON.stringify(long).length;
  // Twice as many as are kept.
  const count = Math.ceil((32 << 20) / (bytes * 100)) * 100;
  expect(count * bytes).toBeGreaterThan(32 << 20);
  read.mockImplementation(async (_id, name) =>
    storedSet(weights.sha256, JSON.stringify(long).replace("1", name.slice(1))),
  );
  for (let i = 0; i < count; i++) {
    store.entry = async () => ({ sha256: weights.sha256, version: `v${i}`, edits: 256, bytes });
    await served.use("one", `s${i + 1}`);
  }
  read.mockClear();
  for (let i = 0; i < count; i++) {
    const { version } = storedSet(weights.sha256, JSON.stringify(long).replace("1", String(i + 1)));
    store.entry = async () => ({ sha256: weights.sha256, version, edits: 256, bytes });
    await served.use("one", `s${i + 1}`);
  }
  expect(read.mock.calls.length).toBeGreaterThan(count / 2 - 1);
});

it.each([
  [
    "a feature that is not there",
    [
      { feature: 3, op: "remove" },
      { feature: 4, op: "remove" },
    ],
    /^edits\[1\]\.feature is 4.*0 to 3/,
  ],
  ["a vector of another length", [{ op: "project_out", vector: [1, 2, 3] }], /^edits\[0\]\.vector holds 3 numbers.* 2/],
  ["rows", [{ feature: 3, op: "remove", rows: [0] }], /^edits\[0\]\.rows: a set is for any rows/],
] as const)("checks against the dictionary at once: %s", async (_, wrong, message) => {
  const { served } = sets("checked");
  await expect(served.save("one", "a", wrong, always)).rejects.toMatchObject({
    code: "PURSUIT_INVALID_EDIT",
    message: expect.stringMatching(message),
  });
  expect(await served.list("one", ALL)).toEqual([]);
});

it("never makes a file of a name that is none", async () => {
  const { served } = sets("names");
  await expect(served.save("one", "../a", edits, always)).rejects.toThrow(/name is 1 to 128/);
});

it("heeds what a write expects, and what a delete does", async () => {
  const { served } = sets("expects");
  const none = (version: string | null): boolean => version === null;
  const { set } = await served.save("one", "a", edits, none);
  const failed = { code: "PURSUIT_PRECONDITION_FAILED" };
  await expect(served.save("one", "a", [], none)).rejects.toMatchObject(failed);
  await expect(served.delete("one", "a", (version) => version === "other")).rejects.toMatchObject(failed);
  expect(await served.get("one", "a")).toEqual(set);
  await served.delete("one", "a", (version) => version === set.version);
  await expect(served.delete("one", "a", always)).rejects.toMatchObject({ code: "PURSUIT_STEERING_SET_NOT_FOUND" });
});
